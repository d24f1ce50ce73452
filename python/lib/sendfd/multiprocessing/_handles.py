"""send_handle() and recv_handle().

The descriptor travels to the destination's inbox together with a token; the token travels over the
connection as well, after it. So whoever reads a token from a connection finds the parcel in its
inbox already: it never waits for one, and what it finds before it is put aside for the others.

A message on the connection is a mark and a token. The standard one is a single other byte that
carries the descriptor itself; both sides understand both.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
from multiprocessing import reduction
from typing import Protocol

from .. import Inbox, Parcel, send
from .._sendfd import receive
from ._process import PerProcess


class Connection(Protocol):
    """A connection of multiprocessing's, or whatever else has the descriptor of a Unix stream."""

    def fileno(self) -> int: ...


SIGNO = 49
MARK = b"\xfd"
TOKEN = 16
MESSAGE = len(MARK) + TOKEN

# They tell parcels apart; no secrets. A forked child must not draw the same ones.
_tokens = random.Random()
os.register_at_fork(after_in_child=_tokens.seed)

standard_send_handle = reduction.send_handle


def send_handle(conn: Connection, handle: int, destination_pid: int | None) -> None:
    """Sends the descriptor `handle` to the process at the other end of `conn`.

    Once this returns it may be closed; if the destination dies before it takes it, it is released.
    """
    if destination_pid is not None:
        token = _tokens.randbytes(TOKEN)
        try:
            send(destination_pid, handle, data=token, signal=SIGNO)
        except OSError:
            pass  # It cannot be reached that way, or not now.
        else:
            try:
                os.write(conn.fileno(), MARK + token)
            except BaseException:
                # Nobody will ask for the parcel. A second one with its token takes it away.
                with contextlib.suppress(OSError):
                    send(destination_pid, handle, data=token, signal=SIGNO)
                raise
            return
    standard_send_handle(conn, handle, destination_pid)


def recv_handle(conn: Connection) -> int:
    """Receives a descriptor that send_handle() sends over `conn`; the caller closes it.

    Raises EOFError if the other end is closed.
    """
    room = mailroom.made or _open_mailroom()  # Whoever sends from now on can reach it.
    message, handle = receive(conn.fileno(), MESSAGE)
    if handle is not None:
        return handle
    if not message:
        raise EOFError
    if room is None or len(message) != MESSAGE or not message.startswith(MARK):
        raise RuntimeError("Invalid data received")
    return room.take(message[len(MARK) :])


def _open_mailroom() -> Mailroom | None:
    try:
        return mailroom.get()
    except OSError:
        return None  # Senders will see that, and use the connection.


class Mailroom:
    """The inbox of this process, and parcels that were found while looking for others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inbox = Inbox(SIGNO)
        self._aside: dict[bytes, Parcel] = {}
        self._given_up: set[bytes] = set()

    def take(self, token: bytes) -> int:
        with self._lock:
            parcel = self._aside.pop(token, None) or self._look_for(token)
        return parcel.detach()[0]

    def _look_for(self, token: bytes) -> Parcel:
        while True:
            try:
                parcel = self._inbox.recv(0)
            except BlockingIOError:
                text = "The descriptor is not there: was it sent to the pid of this process?"
                raise RuntimeError(text) from None
            except OSError:
                self._given_up.add(token)
                raise
            if parcel.data == token:
                return parcel
            self._put_aside(parcel)

    def _put_aside(self, parcel: Parcel) -> None:
        token = parcel.data
        withdrawn = self._aside.pop(token, None)
        if withdrawn is not None:
            withdrawn.close()
            parcel.close()
        elif token in self._given_up or len(token) != TOKEN:
            self._given_up.discard(token)
            parcel.close()
        else:
            self._aside[token] = parcel

    def close(self) -> None:
        self._inbox.close()
        self.forget()

    def forget(self) -> None:
        while self._aside:
            self._aside.popitem()[1].close()


mailroom = PerProcess(Mailroom)
