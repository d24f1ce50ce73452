"""sendfd.multiprocessing."""

from __future__ import annotations

import errno
import os
import pickle
import resource
import socket
import subprocess
import sys
import threading
from multiprocessing import Pipe, get_context, reduction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest

import sendfd.multiprocessing
from conftest import (
    content,
    least_free,
    open_descriptors,
    pipe_with,
    resident_pages,
    wait_until_asleep,
)
from sendfd.multiprocessing import _arrivals, recv_handle, send_handle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from conftest import Child

pytestmark = pytest.mark.usefixtures("uninstalled")

ME = os.getpid()
METHODS = ["fork", "spawn", "forkserver"]
context_of: Any = get_context
STANDARD = (reduction.send_handle, reduction.recv_handle, reduction.DupFd)


@pytest.fixture
def pair() -> Iterator[tuple[Connection, Connection]]:
    here, there = Pipe()
    yield here, there
    here.close()
    there.close()


def test_install_and_uninstall() -> None:
    for _ in range(2):
        sendfd.multiprocessing.install()
        sendfd.multiprocessing.install()
        assert reduction.send_handle is send_handle
        assert reduction.recv_handle is recv_handle
        sendfd.multiprocessing.uninstall()
        sendfd.multiprocessing.uninstall()
        assert (reduction.send_handle, reduction.recv_handle, reduction.DupFd) == STANDARD


def test_install_says_that_the_number_is_taken() -> None:
    with sendfd.Inbox(49), pytest.raises(OSError, match="EADDRINUSE"):
        sendfd.multiprocessing.install()
    assert reduction.send_handle is STANDARD[0]


def went_by_pid(conn: Connection) -> int:
    """Receives it after a look that only a token came over the connection."""
    with socket.socket(fileno=os.dup(conn.fileno())) as stream:
        message, control, _, _ = stream.recvmsg(100, socket.CMSG_LEN(4), socket.MSG_PEEK)
        assert (len(message), control) == (17, [])
    return recv_handle(conn)


def test_it_goes_by_pid(installed: None, pair: tuple[Connection, Connection]) -> None:
    here, there = pair
    fd = pipe_with(b"by pid")
    reduction.send_handle(here, fd, ME)
    os.close(fd)
    received = went_by_pid(there)
    assert not os.get_inheritable(received)
    assert content(received) == b"by pid"


@pytest.mark.parametrize("pid", [None, ME])
def test_without_an_inbox_it_goes_over_the_connection(
    pair: tuple[Connection, Connection], pid: int | None
) -> None:
    fd = pipe_with(b"over the connection")
    send_handle(pair[0], fd, pid)
    os.close(fd)
    received = recv_handle(pair[1])
    assert not os.get_inheritable(received)
    assert content(received) == b"over the connection"


def test_both_sides_understand_the_standard_one(
    installed: None, pair: tuple[Connection, Connection]
) -> None:
    here, there = pair
    fd = pipe_with(b"from the standard one")
    STANDARD[0](here, fd, ME)
    assert content(recv_handle(there)) == b"from the standard one"
    os.close(fd)
    fd = pipe_with(b"to the standard one")
    sendfd.multiprocessing.uninstall()
    send_handle(here, fd, ME)
    assert content(STANDARD[1](there)) == b"to the standard one"
    os.close(fd)


def test_many_connections_at_once(installed: None) -> None:
    pairs = [Pipe() for _ in range(20)]
    for round_number in range(3):
        for index, (here, _) in enumerate(pairs):
            fd = pipe_with(b"%d %d" % (index, round_number))
            send_handle(here, fd, ME)
            os.close(fd)
    # In another order than they were sent in, but in order on each connection.
    for index, (_, there) in reversed(list(enumerate(pairs))):
        for round_number in range(3):
            assert content(recv_handle(there)) == b"%d %d" % (index, round_number)
    for here, there in pairs:
        here.close()
        there.close()


def test_many_threads_at_once(installed: None) -> None:
    each, errors = 200, []

    def exchange(number: int) -> None:
        here, there = Pipe()
        with here, there:
            for i in range(each):
                fd = pipe_with(b"%d %d" % (number, i))
                send_handle(here, fd, ME)
                os.close(fd)
                if content(recv_handle(there)) != b"%d %d" % (number, i):
                    errors.append((number, i))

    threads = [threading.Thread(target=exchange, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_more_than_the_inbox_holds(installed: None, pair: tuple[Connection, Connection]) -> None:
    here, there = pair
    count = 400  # a link holds some 280

    def send() -> None:
        for i in range(count):
            fd = pipe_with(b"%d" % i)
            send_handle(here, fd, ME)
            os.close(fd)

    sender = threading.Thread(target=send)
    sender.start()
    assert sender.native_id is not None
    wait_until_asleep(sender.native_id)
    assert [content(recv_handle(there)) for _ in range(count)] == [b"%d" % i for i in range(count)]
    sender.join()


def test_the_end_of_a_connection(installed: None, pair: tuple[Connection, Connection]) -> None:
    pair[0].close()
    with pytest.raises(EOFError):
        recv_handle(pair[1])


def test_what_is_no_handle(installed: None, pair: tuple[Connection, Connection]) -> None:
    here, there = pair
    for message in (b"\0", b"\xfd" + bytes(16)):
        os.write(here.fileno(), message)
        with pytest.raises(RuntimeError):
            recv_handle(there)
    with pytest.raises(OSError, match="Bad file descriptor"):
        send_handle(here, -1, ME)


def test_a_closed_connection_leaves_nothing_behind(
    installed: None, pair: tuple[Connection, Connection]
) -> None:
    here, there = pair
    there.close()
    reading, writing = os.pipe()
    for _ in range(3):
        with pytest.raises(BrokenPipeError):
            send_handle(here, writing, ME)
    # The next one that is received finds them, withdrawn.
    other, end = Pipe()
    with other, end:
        send_handle(other, 0, ME)
        os.close(recv_handle(end))
    os.close(writing)
    assert os.read(reading, 1) == b""
    os.close(reading)


RECEIVER = """
import multiprocessing.connection, os, sys
import sendfd.multiprocessing
sendfd.multiprocessing.install()
print("ready", flush=True)
sys.stdin.readline()
"""


def test_a_destination_that_dies_first(
    child: Callable[..., Child], pair: tuple[Connection, Connection]
) -> None:
    ends = []
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        receiver = child(RECEIVER)
        assert receiver.said() == "ready"
        reading, writing = os.pipe()
        send_handle(pair[0], writing, receiver.pid)
        os.close(writing)
        receiver.kill()
        ends.append(reading)
    for reading in ends:
        assert os.read(reading, 1) == b""  # Nobody has the other end.
        os.close(reading)
    # Each child has two pipes here; the library keeps one link to a dead one at most.
    assert len(os.listdir("/proc/self/fd")) - before <= 2 * 10 + 1


def serve(conn: Connection, parent: int, count: int) -> None:
    """Sends handles back."""
    assert reduction.send_handle is send_handle
    for _ in range(count):
        handle = reduction.recv_handle(conn)
        reduction.send_handle(conn, handle, parent)
        os.close(handle)


@pytest.mark.parametrize("method", METHODS)
def test_children_have_it_too(method: str, installed: None) -> None:
    here, there = Pipe()
    process = context_of(method).Process(target=serve, args=(there, ME, 50))
    process.start()
    there.close()
    assert process.pid is not None
    for i in range(50):
        fd = pipe_with(b"%d" % i)
        reduction.send_handle(here, fd, process.pid)
        os.close(fd)
        assert content(went_by_pid(here)) == b"%d" % i
    here.close()
    process.join()
    assert process.exitcode == 0
    process.close()


def test_what_else_comes_along_is_closed(pair: tuple[Connection, Connection]) -> None:
    here, there = pair
    wanted, (reading, writing) = pipe_with(b"wanted"), os.pipe()
    with socket.socket(fileno=os.dup(here.fileno())) as stream:
        socket.send_fds(stream, [b"x"], [wanted, writing, writing])
    os.close(wanted)
    os.close(writing)
    assert content(recv_handle(there)) == b"wanted"
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_what_else_is_in_the_parcel_is_closed(
    installed: None, pair: tuple[Connection, Connection]
) -> None:
    here, there = pair
    wanted, (reading, writing) = pipe_with(b"wanted"), os.pipe()
    token = os.urandom(16)
    sendfd.send(ME, wanted, writing, writing, data=token, signal=49)
    os.write(here.fileno(), b"\xfd" + token)
    os.close(wanted)
    os.close(writing)
    assert content(recv_handle(there)) == b"wanted"
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_what_nobody_asks_for_is_not_gathered(
    installed: None, pair: tuple[Connection, Connection]
) -> None:
    """What has no descriptor in it would take no room in the table, which limits the rest."""
    here, there = pair
    for _ in range(100):
        sendfd.send(ME, data=os.urandom(16), signal=49)
    fd = pipe_with(b"wanted")
    send_handle(here, fd, ME)
    os.close(fd)
    assert content(recv_handle(there)) == b"wanted"
    assert _arrivals.arrivals.get()._by_token == {}


def test_all_that_the_table_holds_may_wait_for_others(installed: None) -> None:
    """What is found on the way stays for whoever has its token; in any order, up to the limit."""
    here, there = Pipe()
    handles = []
    for number in range(150):
        fd = pipe_with(b"%d" % number)
        send_handle(here, fd, ME)
        os.close(fd)
        handles.append(os.read(there.fileno(), 17))
    for number in sorted(range(150), key=lambda number: number * 7 % 150):
        os.write(here.fileno(), handles[number])
        assert content(recv_handle(there)) == b"%d" % number
    here.close()
    there.close()
    assert _arrivals.arrivals.get()._by_token == {}


def test_a_full_table(installed: None, pair: tuple[Connection, Connection]) -> None:
    """Lost, as in the standard way; but it is released, and the next one is found."""
    here, there = pair
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    for handle, number in ((here.fileno(), ME), (there.fileno(), None)):
        send_handle(here, handle, number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (least_free(), limits[1]))
        try:
            with pytest.raises(OSError, match=r"open files|EMFILE") as caught:
                recv_handle(there)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert caught.value.errno == errno.EMFILE
    fd = pipe_with(b"the next one")
    send_handle(here, fd, ME)
    os.close(fd)
    assert content(recv_handle(there)) == b"the next one"


def test_room_for_some_of_what_comes_along(pair: tuple[Connection, Connection]) -> None:
    here, there = pair
    wanted, (reading, writing) = pipe_with(b"wanted"), os.pipe()
    with socket.socket(fileno=os.dup(here.fileno())) as stream:
        socket.send_fds(stream, [b"x"], [wanted, writing, writing, writing])
    os.close(wanted)
    os.close(writing)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    room_for_two = [os.dup(0), os.dup(0)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (least_free(), limits[1]))
    for fd in room_for_two:
        os.close(fd)
    try:
        received = recv_handle(there)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert content(received) == b"wanted"
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_many_round_trips_between_processes_grow_nothing(installed: None) -> None:
    here, there = Pipe()
    process = context_of("fork").Process(target=serve, args=(there, ME, 20_000))
    process.start()
    there.close()

    def round_trips() -> int:
        for _ in range(10_000):
            reduction.send_handle(here, 0, process.pid)
            os.close(reduction.recv_handle(here))
        return resident_pages()

    pages, descriptors = round_trips(), open_descriptors()
    assert round_trips() - pages < 256
    assert open_descriptors() == descriptors
    here.close()
    process.join()
    assert process.exitcode == 0
    process.close()


def unpickle(queue: Any, results: Any) -> None:
    while (item := queue.get()) is not None:
        with item:
            item.sendall(b"from %d" % os.getpid())
        results.put(type(item).__name__)


@pytest.mark.parametrize("method", METHODS)
def test_sockets_in_queues(method: str, installed: None) -> None:
    context = context_of(method)
    queue, results = context.SimpleQueue(), context.SimpleQueue()
    process = context.Process(target=unpickle, args=(queue, results))
    process.start()
    for _ in range(5):
        left, right = socket.socketpair()
        queue.put(right)
        right.close()
        assert results.get() == "socket"
        with left:
            assert left.recv(100) == b"from %d" % process.pid
    queue.put(None)
    process.join()
    assert process.exitcode == 0
    process.close()
    for used in (queue, results):
        used.close()


def test_a_forked_child_keeps_nothing_of_its_parents(
    installed: None, in_fork: Callable[[Callable[[], None]], int]
) -> None:
    reading, writing = os.pipe()
    ticket = pickle.loads(reduction.ForkingPickler.dumps(reduction.DupFd(writing)))
    before = open_descriptors()

    def child() -> None:
        # What the parent keeps for others is closed here; it can be asked for like anywhere.
        assert len(open_descriptors()) < len(before)
        os.close(ticket.detach())
        here, there = Pipe()
        send_handle(here, 0, os.getpid())
        os.close(recv_handle(there))
        send_handle(here, 0, os.getpid())
        os.close(went_by_pid(there))

    assert in_fork(child) == 0
    os.close(writing)
    assert os.read(reading, 1) == b""
    os.close(reading)


@pytest.mark.parametrize("method", METHODS)
def test_the_tests_of_the_interpreter(method: str) -> None:
    script = Path(__file__).with_name("cpython_fd_tests.py")
    done = subprocess.run([sys.executable, script, method, "-v"], capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stderr
    assert "test_large_fd_transfer" in done.stderr
    assert "TestPicklingConnections" in done.stderr
    assert "Dangling" not in done.stderr
