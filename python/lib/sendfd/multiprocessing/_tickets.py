"""Descriptors that are pickled before anybody knows for whom.

What is pickled is a ticket: the pid of the process that keeps the descriptor, and a token. To
redeem it a process asks that pid. At the first time one end of a new pair of sockets goes there, by
pid, which stays as a channel for later questions. If the process asked has died or closed its
inbox, the kernel closes its end: whoever waits at the other always gets an answer.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
from multiprocessing import context, resource_sharer
from typing import TYPE_CHECKING

from .. import send
from .._sendfd import receive
from ._counter import REFUSED, SIGNO, counter
from ._process import PerProcess

if TYPE_CHECKING:
    from typing import Any


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
            fd = channels.get().ask(self._pid, self._token)
        if fd is None:
            raise EOFError(f"process {self._pid} does not keep this descriptor (any more)")
        return fd


class Channel:
    """A connection to a process that keeps descriptors."""

    def __init__(self, pid: int) -> None:
        self._lock = threading.Lock()
        self._here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._here.setblocking(True)  # The program may have set another default.
        with there:
            try:
                send(pid, there, signal=SIGNO, timeout=None)
            except BaseException:
                self._here.close()
                raise

    def ask(self, token: bytes) -> tuple[bytes, int | None]:
        """Raises EOFError or OSError where the other end is closed."""
        with self._lock:
            os.close(os.dup(self._here.fileno()))  # EMFILE now, while nothing is lost by it.
            try:
                self._here.send(token, socket.MSG_NOSIGNAL)
                answer, fd = receive(self._here.fileno(), 2)
                if not answer:
                    raise EOFError
            except BaseException:
                # An answer that is still to come must not be taken for that to another question.
                self._here.close()
                raise
        return answer, fd

    def has_ended(self) -> bool:
        if not self._lock.acquire(blocking=False):
            return False  # Whoever has asked will see it.
        try:
            if self._here.fileno() >= 0:
                hangup = select.poll()
                hangup.register(self._here, 0)
                if not hangup.poll(0):
                    return False
                self._here.close()
        finally:
            self._lock.release()
        return True

    def close(self) -> None:
        self._here.close()


class Channels:
    """The channels of this process, one for each process that it has asked."""

    def __init__(self) -> None:
        self._opening = threading.Lock()
        self._channels: dict[int, Channel] = {}

    def ask(self, pid: int, token: bytes) -> int | None:
        answer = None
        channel = self._channels.get(pid)
        if channel is not None:
            try:
                answer, fd = channel.ask(token)
            except (OSError, EOFError) as error:
                # It may have ended; and another process may have that number now.
                if isinstance(error, OSError) and error.errno == errno.EMFILE:
                    raise
        if answer is None:
            answer, fd = self._to(pid).ask(token)
        if answer.startswith(REFUSED):
            raise OSError(answer[1], f"process {pid}: {os.strerror(answer[1])}")
        return fd

    def _to(self, pid: int) -> Channel:
        with self._opening:
            for other, channel in list(self._channels.items()):
                if channel.has_ended():
                    del self._channels[other]
            if pid not in self._channels:
                self._channels[pid] = Channel(pid)
            return self._channels[pid]

    def close(self) -> None:
        while self._channels:
            self._channels.popitem()[1].close()

    forget = close


channels = PerProcess(Channels)


def DupFd(fd: int) -> Any:  # noqa: N802
    """multiprocessing.reduction.DupFd(): what pickles as a duplicate of `fd`."""
    spawning = context.get_spawning_popen()
    if spawning is not None:
        return spawning.DupFd(spawning.duplicate_for_child(fd))
    try:
        return Ticket(fd)
    except OSError:
        return resource_sharer.DupFd(fd)
