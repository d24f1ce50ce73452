"""What mypy accepts is part of the interface; and the names for it exist."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import sendfd

if TYPE_CHECKING:
    from sendfd import HasFileno

ME = os.getpid()


def everything_of(inbox: sendfd.Inbox) -> int:
    with inbox.recv(timeout=5) as parcel:
        return len(parcel)


def test_a_mixed_list_is_sent(inbox: sendfd.Inbox) -> None:
    with socket.socket() as connection, open(os.devnull) as file:
        sendfd.send(ME, *(connection, file), 0)
        # What mypy makes of a list of both without being told is a list of objects.
        given: list[int | HasFileno] = [connection, file]
        sendfd.send(ME, *given)
    assert [everything_of(inbox) for _ in range(2)] == [3, 2]


def test_what_has_a_fileno() -> None:
    with socket.socket() as connection:
        assert isinstance(connection, sendfd.HasFileno)
    assert not isinstance(0, sendfd.HasFileno)
    assert "HasFileno" in dir(sendfd)
