"""Descriptors that are pickled before anybody knows for whom.

What is pickled is a ticket: the pid of the process that keeps the descriptor, and a token. To
redeem it a process asks that pid. At the first time one end of a new pair of sockets goes there, by
pid, which stays as a channel for later questions. If the process asked has died or closed its
inbox, the kernel closes its end: whoever waits at the other always gets an answer.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import multiprocessing
import os
import socket
import struct
from typing import TYPE_CHECKING, Any, Callable

from ._channel import Ancillary, Answer, Channel, HungUpError, Patience, channels
from ._interrupts import into
from ._keeper import REFUSED, TOKEN, keeper

if TYPE_CHECKING:
    from types import ModuleType

_INT = struct.Struct("i")
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_TRIES = 3


class Ticket:
    """Stands for a descriptor. Whoever unpickles it may detach() it, once.

    A detach() that a signal handler interrupts may be repeated; what has come by then is closed
    together with the ticket.
    """

    # What has come of it so far: a channel, the answer there, and what is to be given.
    _channel: list[Channel] = []  # noqa: RUF012 -- for __del__() alone
    _answer: list[Answer] = []  # noqa: RUF012
    _got: list[int | None] = []  # noqa: RUF012

    def __init__(self, pid: int, token: bytes) -> None:
        self._pid = pid
        self._token = token
        self._channel, self._answer, self._got = [], [], []

    def __reduce__(self) -> tuple[type[Ticket], tuple[int, bytes]]:
        return Ticket, (self._pid, self._token)

    def detach(self) -> int:
        """Gives the descriptor, which is the caller's from then on."""
        if not self._got:
            if self._pid == os.getpid():
                keeper.get().take(self._token, self._got)
            else:
                self._ask()
        self._give_up_channel()
        fd = self._got[0]
        # A signal handler has run before this, or runs after the return: nothing is called here.
        del self._got[:]
        if fd is not None:
            return fd
        raise EOFError(f"process {self._pid} does not keep this descriptor (any more)")

    def _ask(self) -> None:
        data, ancillary, flags = self._see_answer()
        if flags & socket.MSG_CTRUNC:
            del self._answer[:]  # It is still in the queue.
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        if data.startswith(REFUSED):
            del self._answer[:]
            self._give_up_channel()
            raise OSError(data[1], f"process {self._pid}: {os.strerror(data[1])}")
        fd = _fd_in(ancillary)
        # Never in both, nor in neither.
        self._got = [fd]
        del self._answer[:]

    def _see_answer(self) -> tuple[bytes, Ancillary, int]:
        patience = Patience(self._pid)
        for _ in range(_TRIES):
            with contextlib.suppress(HungUpError):
                if not self._answer:
                    self._a_channel(patience).ask(self._token, self._answer, patience)
                data, ancillary, flags, _ = self._answer[0]
                if data:
                    return data, ancillary, flags
            # One that was kept, mostly. If the process has ended, the next one will say so.
            del self._channel[:]
            del self._answer[:]
        raise EOFError(f"process {self._pid}, which keeps this descriptor, hangs up")

    def _a_channel(self, patience: Patience) -> Channel:
        if self._channel and self._channel[0].closed:
            del self._channel[:]
        if not self._channel:
            channels.get().take(self._pid, self._channel)
        if not self._channel:
            channels.get().sweep()
            into(self._channel, Channel, self._pid, patience)
        return self._channel[0]

    def _give_up_channel(self) -> None:
        if self._channel:
            channel = self._channel[0]
            del self._channel[:]  # If this is interrupted, it is closed.
            if channel.done():
                channels.get().put_back(self._pid, channel)

    def __del__(self) -> None:
        left = [*self._got, *(_fd_in(ancillary) for _, ancillary, _, _ in self._answer)]
        for fd in left:
            if fd is not None:
                os.close(fd)


def _fd_in(ancillary: Ancillary) -> int | None:
    return _INT.unpack(ancillary[0][2])[0] if ancillary else None


def dup_fd_for(package: ModuleType) -> Callable[[int], Any]:
    """A function in the place of DupFd() of the module `reduction` of a package like
    multiprocessing.
    """
    context = importlib.import_module(".context", package.__name__)
    standard = importlib.import_module(".resource_sharer", package.__name__)

    def DupFd(fd: int) -> Any:  # noqa: N802
        """multiprocessing.reduction.DupFd(): what pickles as a duplicate of `fd`."""
        spawning = context.get_spawning_popen()
        if spawning is not None:
            return spawning.DupFd(spawning.duplicate_for_child(fd))
        try:
            mine = keeper.get()
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise
            return standard.DupFd(fd)  # It needs no inbox.
        ticket = Ticket(os.getpid(), os.urandom(TOKEN))
        mine.keep(ticket._token, fd)
        return ticket

    return DupFd


DupFd = dup_fd_for(multiprocessing)
