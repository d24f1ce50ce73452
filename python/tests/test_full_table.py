"""A parcel for which there is no room in the table of descriptors."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import threading
import time
from typing import TYPE_CHECKING, Callable

import pytest

import sendfd

if TYPE_CHECKING:
    from collections.abc import Iterator


ME = os.getpid()


def test_a_full_table_keeps_the_parcel(inbox: sendfd.Inbox) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    sendfd.send(ME, *[0] * 100, data=b"kept")
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, limits[1]))
    try:
        with pytest.raises(OSError, match="kept") as caught:
            inbox.recv(timeout=5)
        assert caught.value.errno == errno.EMFILE
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    with inbox.recv(timeout=5) as parcel:
        assert (len(parcel.fds), parcel.data) == (100, b"kept")


@contextlib.contextmanager
def table_of(size: int) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def no_room_for(seconds: float, receive: Callable[[], object]) -> int:
    """How often it says so in that time."""
    said = 0
    end = time.monotonic() + seconds
    with table_of(60):
        while time.monotonic() < end:
            with pytest.raises(OSError, match="EMFILE") as caught:
                receive()
            assert caught.value.errno == errno.EMFILE
            said += 1
    return said


@pytest.mark.parametrize("way", ["recv(None)", "recv(0.2)", "for"])
def test_a_full_table_is_not_told_of_all_the_time(inbox: sendfd.Inbox, way: str) -> None:
    ways: dict[str, Callable[[], object]] = {
        "recv(None)": inbox.recv,
        "recv(0.2)": lambda: inbox.recv(0.2),
        "for": lambda: next(iter(inbox)),
    }
    sendfd.send(ME, *[0] * 100, data=b"kept")
    assert no_room_for(0.5, ways[way]) <= 4
    with inbox.recv(timeout=5) as parcel:
        assert (len(parcel.fds), parcel.data) == (100, b"kept")


@pytest.mark.parametrize("way", ["recv(0)", "recv(5)"])
def test_discard(inbox: sendfd.Inbox, way: str) -> None:
    timeout = 0 if way == "recv(0)" else 5
    sendfd.send(ME, *[0] * 100)
    with sendfd.Inbox(51) as other, table_of(60):
        with pytest.raises(OSError, match="EMFILE") as caught:
            inbox.recv(timeout)
        with pytest.raises(ValueError, match="no parcel of this inbox"):
            other.discard(caught.value)
        with pytest.raises(ValueError, match="no parcel of this inbox"):
            inbox.discard(OSError(errno.EMFILE, "another one"))
        inbox.discard(caught.value)
        with pytest.raises(BlockingIOError):
            inbox.discard(caught.value)
        sendfd.send(ME, 0, data=b"the next")
        with inbox.recv(timeout) as parcel:
            assert parcel.data == b"the next"


def test_recv_goes_on_once_there_is_room(inbox: sendfd.Inbox) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    sendfd.send(ME, *[0] * 100)
    with table_of(60):
        with pytest.raises(OSError, match="EMFILE"):
            inbox.recv()
        room = threading.Timer(0.1, resource.setrlimit, (resource.RLIMIT_NOFILE, limits))
        room.start()
        with inbox.recv() as parcel:
            assert len(parcel.fds) == 100
        room.join()
