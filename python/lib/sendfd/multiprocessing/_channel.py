"""A connection to a process that keeps descriptors, over which it is asked for them."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket

# A signal handler that raises can lose what socketpair() of the module socket has made.
from _socket import socketpair
from socket import SocketType

from .. import send
from ._interrupts import into
from ._keeper import SIGNO
from ._process import PerProcess, creating

# Seconds that a process may take to answer, for instance because other threads of it compute. If
# that is not enough it has been stopped, or there is no room in its table for good.
PATIENCE = 60

# The sockets of this process's channels, for a forked child to close.
_sockets: set[SocketType] = set()
# Without consuming it: where the table is full the descriptor stays in the queue.
_ONE = socket.CMSG_SPACE(4)
_FLAGS = socket.MSG_PEEK | socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC


class HungUpError(Exception):
    """The other end is closed."""


class Patience:
    """Waits in steps of a second; of the time that this process is stopped for, one step counts."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._steps = PATIENCE

    def step(self) -> None:
        self._steps -= 1
        if self._steps <= 0:
            text = f"process {self._pid}, which keeps this descriptor, has not answered for"
            raise TimeoutError(errno.ETIMEDOUT, f"{text} {PATIENCE} seconds")


# As recvmsg() gives it: data, ancillary data, flags, address.
Ancillary = list[tuple[int, int, bytes]]
Answer = tuple[bytes, Ancillary, int, object]


class Channel:
    """For one question at a time. One that was interrupted may be asked again, and goes on."""

    _pair: list[tuple[SocketType, SocketType]] = []  # noqa: RUF012 -- for close() alone

    def __init__(self, pid: int, patience: Patience) -> None:
        self._of = os.getpid()
        self._asked: list[int] = []
        self._pair = []
        try:
            with creating:
                into(self._pair, socketpair, socket.AF_UNIX, socket.SOCK_SEQPACKET)
                _sockets.update(self._pair[0])
            self._here, there = self._pair[0]
            self._here.setblocking(True)  # The program may have set another default.
            self._comes = select.poll()
            self._comes.register(self._here, select.POLLIN)
            _send(pid, there, patience)
            _close(there)
        except BaseException:
            self.close()
            raise

    def ask(self, token: bytes, box: list[Answer], patience: Patience) -> None:
        """Puts the answer into `box`. It stays in the queue as well, until done() is called.

        The answer is empty, or HungUpError is raised, where the other end is closed.
        """
        try:
            if not self._asked:
                into(self._asked, self._here.send, token, socket.MSG_NOSIGNAL)
            while not self._comes.poll(1000):
                patience.step()
            with creating:
                into(box, self._here.recvmsg, 2, _ONE, _FLAGS)
        except ConnectionError as error:
            raise HungUpError from error

    def done(self) -> bool:
        """Consumes the answer; whether another question can be asked."""
        try:
            self._here.recv(1, socket.MSG_DONTWAIT)
        except OSError:
            return False
        self._asked = []
        return True

    def has_ended(self) -> bool:
        hangup = select.poll()
        hangup.register(self._here, 0)
        return bool(hangup.poll(0))

    @property
    def closed(self) -> bool:
        return self._here.fileno() < 0

    def close(self) -> None:
        for here, there in self._pair:
            if self._of == os.getpid():
                with contextlib.suppress(OSError):  # It has ended, or was closed before.
                    here.shutdown(socket.SHUT_RDWR)  # Whoever else may have inherited it.
            _close(here, there)

    __del__ = close


def _close(*ends: SocketType) -> None:
    with creating:
        for end in ends:
            end.close()
    _sockets.difference_update(ends)


class Channels:
    """The channels of this process that nobody is using, one at most to each other process.

    Whoever takes one out has it alone: no lock is needed while an answer is awaited.
    """

    def __init__(self) -> None:
        self._idle: dict[int, Channel] = {}

    def take(self, pid: int, box: list[Channel]) -> None:
        """Puts the one to the process `pid` into `box`, if there is any."""
        with contextlib.suppress(KeyError):
            into(box, self._idle.pop, pid)

    def put_back(self, pid: int, channel: Channel) -> None:
        if self._idle.setdefault(pid, channel) is not channel:
            channel.close()

    def sweep(self) -> None:
        """Closes those to processes that have ended."""
        for pid in list(self._idle):
            box: list[Channel] = []
            self.take(pid, box)
            for channel in box:
                if channel.has_ended():
                    channel.close()
                else:
                    self.put_back(pid, channel)

    def close(self) -> None:
        while self._idle:
            self._idle.popitem()[1].close()

    def forget(self) -> None:
        self._idle.clear()


def _close_all() -> None:
    while _sockets:
        _sockets.pop().close()


# Before the channels themselves go, who would shut down what is their parent's.
os.register_at_fork(after_in_child=_close_all)
channels = PerProcess(Channels)


def _send(pid: int, there: SocketType, patience: Patience) -> None:
    keeper = f"process {pid}, which kept this descriptor,"
    while True:
        try:
            send(pid, there, signal=SIGNO, timeout=1)
        except TimeoutError:
            patience.step()
        except ProcessLookupError as error:
            raise ProcessLookupError(error.errno, f"{keeper} has ended") from None
        except ConnectionRefusedError as error:
            text = f"{keeper} does not keep any now"
            raise ConnectionRefusedError(error.errno, text) from None
        else:
            return
