"""send_handle() and recv_handle().

The descriptor travels to the destination's inbox together with a token; the token travels over the
connection as well, after it. So whoever reads a token from a connection finds the parcel in its
inbox already: it never waits for one, and what it finds before it is put aside for the others.

A message on the connection is a mark and a token. The standard one is a single other byte that
carries the descriptor itself; both sides understand both.
"""

from __future__ import annotations

import os
import random
from functools import partial
from multiprocessing import reduction

from .. import send
from ._arrivals import SIGNO, TOKEN, WITHDRAWN, Arrivals, arrivals
from ._interrupts import into
from ._reception import MARK, Connection, go_on_later, reception_of

# They tell parcels apart; no secrets. A forked child must not draw the same ones.
_tokens = random.Random()
os.register_at_fork(after_in_child=_tokens.seed)

# Of withdrawing a parcel, which signal handlers may interrupt.
_TRIES = 100

standard_send_handle = reduction.send_handle


def send_handle(conn: Connection, handle: int, destination_pid: int | None) -> None:
    """Sends the descriptor `handle` to the process at the other end of `conn`.

    Once this returns it may be closed; if the destination dies before it takes it, it is released.
    If a signal handler raises something meanwhile, it may have been sent or not, but wholly.
    """
    if destination_pid is not None and _sent_by_pid(conn, handle, destination_pid):
        return
    standard_send_handle(conn, handle, destination_pid)


def _sent_by_pid(conn: Connection, handle: int, pid: int) -> bool:
    token = _tokens.randbytes(TOKEN)
    stream, message = conn.fileno(), MARK + token
    sent: list[None] = []
    written: list[int] = []
    try:
        try:
            into(sent, partial(send, pid, handle, data=token, signal=SIGNO))
        except OSError as error:
            if sent or error.errno is None:
                raise  # It is a signal handler's.
            return False  # It cannot be reached that way, or not now.
        into(written, os.write, stream, message)
    finally:
        if sent and not written:
            _withdraw(token, handle, pid)
    return True


def _withdraw(token: bytes, handle: int, pid: int) -> None:
    done: list[None] = []
    for _ in range(_TRIES):
        try:
            into(done, partial(send, pid, handle, data=token + WITHDRAWN, signal=SIGNO, timeout=1))
        except OSError as error:
            if error.errno is not None:
                return  # The destination has ended, mostly.
        except BaseException:
            continue  # What is raised already says that there was an interruption.
        if done:
            return


def recv_handle(conn: Connection) -> int:
    """Receives a descriptor that send_handle() sends over `conn`; the caller closes it.

    Raises EOFError if the other end is closed. If a signal handler raises something meanwhile,
    nothing is lost: the next call with `conn` gives what that one would have given.
    """
    here = arrivals.made or _open_arrivals()  # Whoever sends from now on can reach it.
    reception = reception_of(conn)
    reception.busy = True
    try:
        return reception.receive(conn, here)
    except BaseException:
        if reception.has_begun():
            go_on_later(conn, reception)
        raise
    finally:
        reception.busy = False


def _open_arrivals() -> Arrivals | None:
    try:
        return arrivals.get()
    except OSError:
        return None  # Senders will see that, and use the connection.
