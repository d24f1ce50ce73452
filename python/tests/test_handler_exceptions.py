"""sendfd.multiprocessing: a signal handler that raises, at whatever moment."""

from __future__ import annotations

import gc
import os
import pickle
import select
import sys
from multiprocessing import Pipe, reduction, resource_sharer
from typing import TYPE_CHECKING, Any, Callable, TypeVar

import pytest

import sendfd.multiprocessing
from conftest import content, open_descriptors, pipe_with
from sendfd.multiprocessing import recv_handle, send_handle
from sendfd.multiprocessing._arrivals import MOST_GIVEN_UP, arrivals
from sendfd.multiprocessing._reception import Reception

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from conftest import Child

pytestmark = [
    pytest.mark.usefixtures("uninstalled"),
    # They say that something was closed that nobody closed: so it was.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    # The moment may lie in a callback of the interpreter's own, which swallows what is raised.
    pytest.mark.filterwarnings(
        r"ignore:.*WeakSet\..*_remove:pytest.PytestUnraisableExceptionWarning"
    ),
]

ME = os.getpid()
T = TypeVar("T")


class InterruptError(Exception):
    """What a signal handler raises."""


class Interrupter:
    """Raises at one of the moments at which a signal handler might: a function begins, or one that
    is written in C has just returned, and its result has not been stored.

    Or does something there, as handlers and what the garbage collector calls do.
    """

    def __init__(self, moment: int, does: Callable[[], object] | None = None) -> None:
        self.left = moment
        self._does = does

    def call(self, function: Callable[..., T], *arguments: Any) -> T | None:
        """None if it was interrupted."""
        sys.setprofile(self._profile)
        try:
            return function(*arguments)
        except InterruptError:
            return None
        finally:
            sys.setprofile(None)

    def _profile(self, frame: Any, event: str, _: object) -> None:
        if event in ("call", "c_return") and frame.f_code is not Interrupter.call.__code__:
            self.left -= 1
            if self.left == 0:
                if self._does is None:
                    raise InterruptError
                sys.setprofile(None)
                self._does()


def every_moment(
    begin: Callable[[], None], does: Callable[[], object] | None = None
) -> Iterator[Interrupter]:
    """Until what is done with one is done before it comes to raise."""
    for moment in range(1, 1000):
        begin()
        interrupter = Interrupter(moment, does)
        yield interrupter
        if interrupter.left > 0:
            assert moment > 5
            return
    raise AssertionError("there is no end to it")


@pytest.fixture
def pair() -> Iterator[tuple[Connection, Connection]]:
    here, there = Pipe()
    yield here, there
    here.close()
    there.close()


def nothing() -> None:
    pass


def readable(conn: Connection) -> bool:
    return bool(select.select([conn], [], [], 0)[0])


def nobody_has(reading: int) -> None:
    """Nobody has the other end any more."""
    assert select.select([reading], [], [], 10)[0] == [reading]
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_sending_is_done_wholly_or_not(
    installed: None, pair: tuple[Connection, Connection]
) -> None:
    here, there = pair
    ends, received = [], []
    for interrupter in every_moment(nothing):
        reading, writing = os.pipe()
        ends.append(reading)
        interrupter.call(send_handle, here, writing, ME)
        os.close(writing)
        received.append(readable(there))
        assert received[-1] or interrupter.left == 0
        if received[-1]:
            os.close(recv_handle(there))
        assert not readable(there)
    assert set(received) == {False, True}
    # What was not to be received is found, and released, together with the next one.
    send_handle(here, 0, ME)
    os.close(recv_handle(there))
    for reading in ends:
        nobody_has(reading)


@pytest.mark.parametrize("pid", [ME, None])
def test_receiving_loses_nothing(
    installed: None, pair: tuple[Connection, Connection], pid: int | None
) -> None:
    here, there = pair
    interrupted = 0
    for i, interrupter in enumerate(every_moment(nothing)):
        for text in (b"%d" % i, b"behind it"):
            fd = pipe_with(text)
            send_handle(here, fd, pid)
            os.close(fd)
        handle = interrupter.call(recv_handle, there)
        if handle is None:
            interrupted += 1
            handle = recv_handle(there)
        assert content(handle) == b"%d" % i
        assert content(recv_handle(there)) == b"behind it"
    assert interrupted > 5
    assert arrivals.get()._by_token == {}


def test_what_was_not_received_after_all_is_released(
    installed: None, pair: tuple[Connection, Connection]
) -> None:
    ends = []
    for interrupter in every_moment(nothing):
        reading, writing = os.pipe()
        here, there = Pipe()
        send_handle(here, writing, ME)
        os.close(writing)
        handle = interrupter.call(recv_handle, there)
        if handle is not None:
            os.close(handle)
        if readable(there):  # That was before it received anything.
            os.close(recv_handle(there))
        here.close()
        there.close()
        del here, there
        ends.append(reading)
    # The next one that is received finds them.
    send_handle(pair[0], 0, ME)
    os.close(recv_handle(pair[1]))
    for reading in ends:
        nobody_has(reading)


def test_liars_are_forgotten(installed: None, pair: tuple[Connection, Connection]) -> None:
    """A token with no parcel behind it, of which the reception was interrupted and given up."""
    reading, writing = os.pipe()
    here, there = Pipe()
    send_handle(here, writing, ME)
    os.close(writing)
    # It is not looked for, and found while others are.
    reception = Reception()
    reception._message.append((os.read(there.fileno(), 17), None))
    reception.release()
    given_up = arrivals.get()._given_up
    assert len(given_up) == 1
    here.close()
    there.close()
    for _ in range(2 * MOST_GIVEN_UP):
        liar, reception = os.urandom(16), Reception()
        os.write(pair[0].fileno(), b"\xfd" + liar)
        reception._message.append((os.read(pair[1].fileno(), 17), None))
        reception.release()
        assert len(given_up) <= MOST_GIVEN_UP
    nobody_has(reading)


def test_keeping_is_done_wholly_or_not(installed: None) -> None:
    os.close(reduction.DupFd(0).detach())
    before = open_descriptors()
    for interrupter in every_moment(nothing):
        ticket = interrupter.call(reduction.DupFd, 0)
        if ticket is None:
            assert open_descriptors() == before
        else:
            os.close(ticket.detach())


def test_beginning_to_keep_can_be_repeated(installed: None) -> None:
    before = open_descriptors()
    for interrupter in every_moment(sendfd.multiprocessing.uninstall):
        ticket = interrupter.call(sendfd.multiprocessing.DupFd, 0)
        if ticket is None:
            ticket = sendfd.multiprocessing.DupFd(0)
        assert type(ticket).__name__ == "Ticket"
        os.close(ticket.detach())
    sendfd.multiprocessing.uninstall()
    gc.collect()
    assert open_descriptors() <= before


KEEPER = """
import os, sys
import sendfd.multiprocessing as m
from multiprocessing import reduction
while line := sys.stdin.readline():
    reading, writing = os.pipe()
    os.write(writing, line.strip().encode())
    os.close(writing)
    print(bytes(reduction.ForkingPickler.dumps(m.DupFd(reading))).hex(), flush=True)
    os.close(reading)
"""


def ticket_from(keeper: Child, text: str) -> Any:
    keeper.tell(text)
    return pickle.loads(bytes.fromhex(keeper.said()))


@pytest.mark.parametrize("first", [False, True])
def test_redeeming_loses_nothing(child: Callable[..., Child], first: bool) -> None:
    keeper = child(KEEPER)
    interrupted = 0
    for i, interrupter in enumerate(
        every_moment(sendfd.multiprocessing.uninstall if first else nothing)
    ):
        ticket = ticket_from(keeper, str(i))
        fd = interrupter.call(ticket.detach)
        if fd is None:
            interrupted += 1
            fd = ticket.detach()
        assert content(fd) == b"%d" % i
        with pytest.raises(EOFError):
            ticket.detach()
    assert interrupted > 5
    assert keeper.ends() == 0


def test_redeeming_here_loses_nothing(installed: None) -> None:
    for i, interrupter in enumerate(every_moment(nothing)):
        fd = pipe_with(b"%d" % i)
        ticket = reduction.DupFd(fd)
        os.close(fd)
        got = interrupter.call(ticket.detach)
        if got is None:
            got = ticket.detach()
        assert content(got) == b"%d" % i


def test_what_was_not_redeemed_after_all_is_released(child: Callable[..., Child]) -> None:
    keeper = child(KEEPER)
    os.close(ticket_from(keeper, "a channel").detach())
    before = open_descriptors()
    for interrupter in every_moment(nothing):
        ticket = ticket_from(keeper, "x")
        fd = interrupter.call(ticket.detach)
        if fd is not None:
            os.close(fd)
        del ticket
        gc.collect()
        assert open_descriptors() - before == set()
    assert keeper.ends() == 0


def anew() -> None:
    sendfd.multiprocessing.uninstall()
    sendfd.multiprocessing.install()


@pytest.mark.parametrize("first", [False, True])
def test_a_handler_may_do_the_same(installed: None, first: bool) -> None:
    """No lock is in its way, and both get what is theirs."""
    done = 0

    def there_and_back() -> None:
        nonlocal done
        done += 1
        here, there = Pipe()
        text = b"%d" % done
        with here, there:
            for _ in range(2):
                fd = pipe_with(text)
                send_handle(here, fd, ME)
                ticket = sendfd.multiprocessing.DupFd(fd)
                os.close(fd)
                assert content(recv_handle(there)) == text
                os.close(ticket.detach())

    for interrupter in every_moment(anew if first else nothing, there_and_back):
        interrupter.call(there_and_back)
    assert done > 20
    resource_sharer.stop()
