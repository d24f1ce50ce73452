"""What a call of recv_handle() has read from a connection, and what has come of it so far.

It outlives a call that a signal handler interrupts: the next one goes on with it.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol

from .._sendfd import receive
from ._arrivals import TOKEN, Arrivals, arrivals
from ._interrupts import into

MARK = b"\xfd"
MESSAGE = len(MARK) + TOKEN


class Connection(Protocol):
    """A connection of multiprocessing's, or whatever else has the descriptor of a Unix stream."""

    def fileno(self) -> int: ...


class Reception:
    """One descriptor, from the reading of its message to the return of recv_handle()."""

    def __init__(self) -> None:
        self.busy = False
        self._message: list[tuple[bytes, int | None]] = []
        self._detached: list[list[int]] = []

    def receive(self, conn: Connection, here: Arrivals | None) -> int:
        if not self._message:
            into(self._message, receive, conn.fileno(), MESSAGE)
        message, handle = self._message[0]
        if handle is None:
            error = self._find(message, here)
            if error is not None:
                del self._message[:]
                raise error
            handle = self._detached[0][0]
        # A signal handler has run before this, or runs after the return: nothing is called here.
        del self._detached[:]
        del self._message[:]
        return handle

    def _find(self, message: bytes, here: Arrivals | None) -> Exception | None:
        """Gets it from the inbox; the error where it is not there, which is final."""
        if not message:
            return EOFError()
        token = _token_in(message)
        if here is None or token is None:
            return RuntimeError("Invalid data received")
        if not self._detached:
            found = here.find(token)
            if isinstance(found, Exception):
                return found
            into(self._detached, found.detach)
        here.drop(token)
        fds = self._detached[0]
        while len(fds) > 1:
            os.close(fds.pop())
        return None if fds else RuntimeError("Invalid data received")

    def has_begun(self) -> bool:
        return bool(self._message)

    def release(self) -> None:
        """Nobody will ask for it any more."""
        for message, handle in self._message:
            token = _token_in(message)
            if handle is not None:
                os.close(handle)
            elif token is not None and arrivals.made is not None:
                arrivals.made.give_up(token)
        for fds in self._detached:
            for fd in fds:
                os.close(fd)
        del self._message[:]
        del self._detached[:]


def _token_in(message: bytes) -> bytes | None:
    if len(message) != MESSAGE or not message.startswith(MARK):
        return None
    return message[len(MARK) :]


# With the connection of each. What is done stays here, and serves again.
_interrupted: list[tuple[weakref.ref[Connection], Reception]] = []


def reception_of(conn: Connection) -> Reception:
    """One that was interrupted, or else a new one."""
    for other, reception in _interrupted:
        if other() is conn and not reception.busy:
            return reception
    return Reception()


def go_on_later(conn: Connection, reception: Reception) -> None:
    if any(reception is known for _, known in _interrupted):
        return
    try:
        _interrupted.append((weakref.ref(conn, _closed), reception))
    except TypeError:
        reception.release()


def _closed(conn: weakref.ref[Connection]) -> None:
    for entry in [entry for entry in _interrupted if entry[0] is conn]:
        _interrupted.remove(entry)
        entry[1].release()


def _forget() -> None:
    # The parent goes on with them.
    while _interrupted:
        _interrupted.pop()[1].release()


os.register_at_fork(after_in_child=_forget)
