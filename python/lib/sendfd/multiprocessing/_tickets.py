"""Descriptors that are pickled before anybody knows for whom.

What is pickled is a ticket: the pid of the process that keeps the descriptor, and a token. To
redeem it one end of a new pair of sockets goes to that pid together with the token, and the
descriptor comes back over the pair. If that process has died, has closed its inbox or does not know
the token, the kernel or it closes that end: whoever waits at the other always gets an answer.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from multiprocessing import context, resource_sharer
from typing import TYPE_CHECKING

from .. import Inbox, send
from ._handles import TOKEN, receive
from ._process import PerProcess

if TYPE_CHECKING:
    from typing import Any

    from .. import Parcel

SIGNO = 48


class Ticket:
    """Stands for a duplicate of `fd`. Whoever unpickles it may detach() it, once."""

    def __init__(self, fd: int) -> None:
        self._pid = os.getpid()
        self._token = counter.get().keep(fd)

    def detach(self) -> int:
        """Gives the descriptor, which is the caller's from then on."""
        if self._pid == os.getpid():
            fd = counter.get().take(self._token)
        else:
            fd = _redeem(self._pid, self._token)
        if fd is None:
            raise EOFError(f"process {self._pid} does not keep this descriptor (any more)")
        return fd


def _redeem(pid: int, token: bytes) -> int | None:
    here, there = socket.socketpair()
    with here:
        with there:
            send(pid, there, data=token, signal=SIGNO, timeout=None)
        _, handles = receive(here.fileno(), 1)
    return handles[0] if handles else None


class Counter:
    """The descriptors that this process keeps, and the thread that hands them out."""

    def __init__(self) -> None:
        self._kept: dict[bytes, int] = {}
        self._inbox = Inbox(SIGNO)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="sendfd tickets", daemon=True)
        self._thread.start()

    def keep(self, fd: int) -> bytes:
        token = os.urandom(TOKEN)
        self._kept[token] = os.dup(fd)
        return token

    def take(self, token: bytes) -> int | None:
        return self._kept.pop(token, None)

    def _serve(self) -> None:
        # Signals are for the threads of the program.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while not self._closing.is_set():
            try:
                request = self._inbox.recv()
            except OSError:
                # Closed; or no room for a descriptor, and the kernel does not tell when there is.
                self._closing.wait(0.1)
            else:
                with request:
                    self._answer(request)

    def _answer(self, request: Parcel) -> None:
        fd = self.take(request.data)
        if fd is None:
            return
        try:
            with request.socket() as asking:
                rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, fd.to_bytes(4, sys.byteorder))
                asking.sendmsg([b"\1"], [rights], socket.MSG_DONTWAIT)
        except OSError:
            pass  # It has gone, or was no socket.
        finally:
            os.close(fd)

    def close(self) -> None:
        self._closing.set()
        self._inbox.close()
        self._thread.join()
        self.forget()

    def forget(self) -> None:
        while self._kept:
            os.close(self._kept.popitem()[1])


counter = PerProcess(Counter)


def DupFd(fd: int) -> Any:  # noqa: N802
    """multiprocessing.reduction.DupFd(): what pickles as a duplicate of `fd`."""
    spawning = context.get_spawning_popen()
    if spawning is not None:
        return spawning.DupFd(spawning.duplicate_for_child(fd))
    try:
        return Ticket(fd)
    except OSError:
        return resource_sharer.DupFd(fd)
