"""sendfd.multiprocessing: tickets while tables and queues are full, keepers stopped, and forks."""

from __future__ import annotations

import _socket
import contextlib
import errno
import os
import pickle
import resource
import signal
import threading
from multiprocessing import get_context, reduction
from typing import TYPE_CHECKING, Any, Callable

import pytest

import sendfd.multiprocessing
from conftest import content, wait_until_asleep
from sendfd.multiprocessing import _channel, _keeper

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from socket import SocketType

    from conftest import Child

pytestmark = [
    pytest.mark.usefixtures("uninstalled"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]

ROUNDS = 3


def load(conn: Connection) -> None:
    """Like a worker of PyTorch's: of each item one descriptor stays here, and one is kept."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, limits[1]))
    for _ in range(ROUNDS):
        items: list[int] = []
        tickets: list[Any] = []
        text = ""
        try:
            while True:
                reading, writing = os.pipe()
                items.append(reading)
                os.write(writing, b"%d" % len(tickets))
                os.close(writing)
                tickets.append(reduction.DupFd(reading))
        except OSError as error:
            text = f"{error.errno} {error.__context__}"
        with contextlib.suppress(OSError):
            while True:
                items.append(os.dup(0))
        conn.send((text, tickets))
        conn.recv()
        for item in items:
            os.close(item)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_loader_that_fills_its_table(method: str, installed: None) -> None:
    context: Any = get_context(method)
    here, there = context.Pipe()
    worker = context.Process(target=load, args=(there,))
    worker.start()
    there.close()
    for _ in range(ROUNDS):
        text, tickets = here.recv()
        assert text == f"{errno.EMFILE} None"
        assert len(tickets) > 10
        for i, ticket in enumerate(tickets):
            assert content(ticket.detach()) == b"%d" % i
        here.send("next")
    here.close()
    worker.join()
    assert worker.exitcode == 0
    worker.close()


KEEPER = """
import os, resource, sys
import sendfd.multiprocessing as m
from multiprocessing import reduction
while line := sys.stdin.readline():
    if line == "no room\\n":
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, most))
        print("done", flush=True)
        continue
    reading, writing = os.pipe()
    os.write(writing, line.strip().encode())
    os.close(writing)
    print(bytes(reduction.ForkingPickler.dumps(m.DupFd(reading))).hex(), flush=True)
    os.close(reading)
"""


def ticket_from(keeper: Child, text: str) -> Any:
    keeper.tell(text)
    return pickle.loads(bytes.fromhex(keeper.said()))


def stop(keeper: Child) -> None:
    keeper.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, keeper.pid, os.WSTOPPED)


@pytest.mark.parametrize("known", [False, True])
def test_a_keeper_that_is_stopped_is_no_hang(
    known: bool, child: Callable[..., Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_channel, "PATIENCE", 1)
    keeper = child(KEEPER)
    if known:
        os.close(ticket_from(keeper, "before").detach())
    ticket = ticket_from(keeper, "kept")
    stop(keeper)
    text = f"process {keeper.pid}, which keeps this descriptor, has not answered for 1 seconds"
    with pytest.raises(TimeoutError, match=text):
        ticket.detach()
    keeper.process.send_signal(signal.SIGCONT)
    # It was asked for in vain, and not for nothing.
    assert content(ticket.detach()) == b"kept"
    assert content(ticket_from(keeper, "another").detach()) == b"another"
    assert keeper.ends() == 0


def test_a_keeper_without_any_room_is_no_hang(
    child: Callable[..., Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_channel, "PATIENCE", 1)
    keeper = child(KEEPER)
    ticket = ticket_from(keeper, "kept")
    keeper.tell("no room")
    assert keeper.said() == "done"
    with pytest.raises(TimeoutError, match=f"process {keeper.pid}, which keeps this descriptor"):
        ticket.detach()
    assert keeper.ends() == 0


def test_a_keeper_that_has_ended_is_named(child: Callable[..., Child]) -> None:
    keeper = child(KEEPER)
    ticket = ticket_from(keeper, "kept")
    keeper.kill()
    text = f"process {keeper.pid}, which kept this descriptor, has ended"
    with pytest.raises(ProcessLookupError, match=text):
        ticket.detach()


def test_a_full_keeper_does_not_stall_others(
    child: Callable[..., Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    full, well = child(KEEPER), child(KEEPER)
    tickets = [ticket_from(keeper, "kept") for keeper in (full, well)]
    stop(full)
    with pytest.raises(BlockingIOError):
        while True:
            sendfd.send(full.pid, 0, signal=_keeper.SIGNO)
    received: list[int] = []
    waiting = threading.Thread(target=lambda: received.append(tickets[0].detach()))
    waiting.start()
    assert waiting.native_id is not None
    wait_until_asleep(waiting.native_id)
    assert content(tickets[1].detach()) == b"kept"
    full.process.send_signal(signal.SIGCONT)
    waiting.join()
    assert content(received[0]) == b"kept"
    assert (full.ends(), well.ends()) == (0, 0)


def test_no_room_for_a_ticket_is_one_plain_error(installed: None) -> None:
    """Where the standard way could not do better it is not tried."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    ticket = reduction.DupFd(0)
    for keeper_is_there in (True, False):
        if not keeper_is_there:
            os.close(ticket.detach())
            sendfd.multiprocessing.uninstall()
            sendfd.multiprocessing.install()
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        try:
            with pytest.raises(OSError, match=r"open files|EMFILE") as caught:
                reduction.DupFd(0)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert caught.value.errno == errno.EMFILE
        assert caught.value.__context__ is None
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        reduction.DupFd(1 << 20)
    assert caught.value.__context__ is None


def test_the_standard_way_is_taken_where_it_is_better(installed: None) -> None:
    with sendfd.Inbox(_keeper.SIGNO):
        assert type(reduction.DupFd(0)).__module__ == "multiprocessing.resource_sharer"
    from multiprocessing import resource_sharer

    resource_sharer.stop()


def test_an_error_in_the_thread_costs_nobody_an_answer(
    installed: None, monkeypatch: pytest.MonkeyPatch, child: Callable[..., Child]
) -> None:
    tickets = [reduction.ForkingPickler.dumps(reduction.DupFd(0)) for _ in range(2)]
    reported: list[Any] = []
    hand_out = _keeper.Keeper._hand_out

    def fails_once(*arguments: Any) -> None:
        if not reported:
            raise MemoryError
        hand_out(*arguments)

    monkeypatch.setattr(threading, "excepthook", reported.append)
    monkeypatch.setattr(_keeper.Keeper, "_hand_out", fails_once)
    redeemer = child(REDEEMER)
    said = []
    for ticket in tickets:
        redeemer.tell(bytes(ticket).hex())
        said.append(redeemer.said())
    assert said == ["got it", "got it"]
    assert [type(args.exc_value) for args in reported] == [MemoryError]
    assert redeemer.ends() == 0


REDEEMER = """
import os, pickle, sys
while line := sys.stdin.readline():
    try:
        os.close(pickle.loads(bytes.fromhex(line)).detach())
        print("got it", flush=True)
    except Exception as error:
        print(type(error).__name__, flush=True)
"""


def child_that_waits() -> tuple[int, int]:
    """The pid of a forked child, and what is to be closed for it to end."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    os.close(reading)
    return pid, writing


def test_a_child_that_is_forked_meanwhile_is_no_hang(
    child: Callable[..., Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not hold the end of the channel that its parent has sent away."""
    keeper = child(KEEPER)
    ticket = ticket_from(keeper, "kept")
    children: list[tuple[int, int]] = []

    def send(*arguments: Any, **options: Any) -> None:
        if not children:
            forking = threading.Thread(target=lambda: children.append(child_that_waits()))
            forking.start()
            forking.join()
        sendfd.send(*arguments, **options)
        keeper.kill()  # It is asked after that.

    monkeypatch.setattr(_channel, "send", send)
    with pytest.raises((ProcessLookupError, EOFError)):
        ticket.detach()
    assert children
    for pid, writing in children:
        os.close(writing)
        assert os.waitpid(pid, 0)[1] == 0


def test_no_child_is_forked_between_making_and_noting_down(
    child: Callable[..., Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = child(KEEPER)
    ticket = ticket_from(keeper, "kept")
    make = _socket.socketpair
    forking: list[threading.Thread] = []
    has_them: list[str] = []

    def socketpair(*arguments: Any) -> tuple[SocketType, SocketType]:
        pair = make(*arguments)
        names = {os.readlink(f"/proc/self/fd/{end.fileno()}") for end in pair}
        thread = threading.Thread(target=lambda: has_them.append(a_child_has_any_of(names)))
        thread.start()
        forking.append(thread)
        assert thread.native_id is not None
        wait_until_asleep(thread.native_id)
        return pair

    monkeypatch.setattr(_channel, "socketpair", socketpair)
    os.close(ticket.detach())
    for thread in forking:
        thread.join()
    assert has_them == [""]
    assert keeper.ends() == 0


def a_child_has_any_of(names: set[str]) -> str:
    """Which of its descriptors is one of these."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        for fd in range(1024):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/self/fd/{fd}") in names:
                    os.write(writing, b"%d " % fd)
        os._exit(0)
    os.close(writing)
    status = os.waitpid(pid, 0)[1]
    return content(reading).decode() + (f" status {status}" if status else "")
