"""sendfd.Inbox, without asyncio."""

from __future__ import annotations

import contextlib
import errno
import gc
import inspect
import os
import pydoc
import resource
import select
import selectors
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest

import sendfd
from conftest import wait_until_asleep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Child

ME = os.getpid()


def test_with_and_close() -> None:
    with sendfd.Inbox() as inbox:
        assert not inbox.closed
        assert (inbox.signal, inbox.thread, inbox.signals) == (50, False, False)
        assert repr(inbox) == f"<sendfd.Inbox signal=50 fd={inbox.fileno()}>"
    assert inbox.closed
    assert repr(inbox) == "<sendfd.Inbox signal=50 closed>"
    inbox.close()
    for call in (inbox.recv, inbox.fileno):
        with pytest.raises(OSError, match="closed") as caught:
            call()
        assert caught.value.errno == errno.EBADF
    with pytest.raises(ConnectionRefusedError):
        sendfd.send(ME, 0)


def test_it_can_be_opened_again() -> None:
    for _ in range(50):
        with sendfd.Inbox() as inbox:
            sendfd.send(ME, 0)
            inbox.recv(timeout=5).close()


def test_one_for_each_number(inbox: sendfd.Inbox) -> None:
    with pytest.raises(OSError, match="50") as caught:
        sendfd.Inbox()
    assert caught.value.errno == errno.EADDRINUSE
    with sendfd.Inbox(51) as other:
        sendfd.send(ME, 0, signal=51)
        with other.recv(timeout=5) as parcel:
            assert parcel.signo == 51
        with pytest.raises(BlockingIOError):
            inbox.recv(timeout=0)


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        (("50",), {}, TypeError),
        ((50, True), {}, TypeError),
        ((), {"thread": "yes"}, TypeError),
        ((), {"other": 1}, TypeError),
        ((1 << 40,), {}, ValueError),
        ((10,), {}, OSError),
        ((-1,), {}, OSError),
    ],
)
def test_nonsense(arguments: Any, options: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        sendfd.Inbox(*arguments, **options)


def test_timeouts(inbox: sendfd.Inbox) -> None:
    with pytest.raises(BlockingIOError) as nothing:
        inbox.recv(timeout=0)
    assert nothing.value.errno == errno.EAGAIN
    started = time.monotonic()
    with pytest.raises(TimeoutError) as late:
        inbox.recv(0.05)
    assert late.value.errno == errno.ETIMEDOUT
    assert "sendfd_recv(50, 50ms)" in str(late.value)
    assert 0.04 < time.monotonic() - started < 5
    for timeout in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="out of range"):
            inbox.recv(timeout=timeout)
    wrong: Any = "soon"
    with pytest.raises(TypeError):
        inbox.recv(timeout=wrong)


def test_a_forgotten_one_is_closed_with_a_warning() -> None:
    inbox = sendfd.Inbox()
    with pytest.warns(ResourceWarning, match="unclosed <sendfd.Inbox signal=50"):
        del inbox
        gc.collect()
    with pytest.raises(ConnectionRefusedError):
        sendfd.send(ME, 0)


def test_threads_share_it(inbox: sendfd.Inbox) -> None:
    each, number = 500, 4
    got: list[bytes] = []

    def receive() -> None:
        while True:
            with inbox.recv(timeout=20) as parcel:
                if parcel.data == b"end":
                    return
                got.append(parcel.data)

    threads = [threading.Thread(target=receive) for _ in range(number)]
    for thread in threads:
        thread.start()
    sent = [b"%d" % i for i in range(each)]
    for data in sent:
        sendfd.send(ME, 0, data=data, timeout=20)
    for _ in threads:
        sendfd.send(ME, 0, data=b"end", timeout=20)
    for thread in threads:
        thread.join()
    assert sorted(got) == sorted(sent)


def test_close_wakes_waiting_threads() -> None:
    inbox = sendfd.Inbox()
    errors: list[int | None] = []
    asleep = threading.Barrier(4)

    def receive() -> None:
        asleep.wait()
        try:
            inbox.recv()
        except OSError as error:
            errors.append(error.errno)

    threads = [threading.Thread(target=receive) for _ in range(3)]
    for thread in threads:
        thread.start()
    asleep.wait()
    for thread in threads:
        assert thread.native_id is not None
        wait_until_asleep(thread.native_id)
    inbox.close()
    for thread in threads:
        thread.join()
    assert errors == [errno.EBADF] * 3


def test_other_threads_run_while_one_waits(inbox: sendfd.Inbox) -> None:
    got: list[bytes] = []

    def receive() -> None:
        with inbox.recv(timeout=20) as parcel:
            got.append(parcel.data)

    thread = threading.Thread(target=receive)
    thread.start()
    # Would never be reached if the wait kept the interpreter's lock.
    sendfd.send(ME, 0, data=b"from here")
    thread.join()
    assert got == [b"from here"]


def name_of_our_inbox() -> str:
    ours = set()
    for entry in os.scandir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            ours.add(os.readlink(entry.path))
    for line in Path("/proc/self/net/unix").read_text().splitlines():
        words = line.split()
        if f"socket:[{words[6]}]" in ours and words[-1].startswith("@sendfd.1/"):
            return words[-1][1:]
    raise LookupError("no inbox is open")


def test_other_threads_run_while_one_waits_for_a_name(inbox: sendfd.Inbox) -> None:
    errors: list[int | None] = []

    def open_another() -> None:
        try:
            sendfd.Inbox(signal=51)
        except OSError as error:
            errors.append(error.errno)

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as squatter:
        squatter.bind("\0" + name_of_our_inbox().removesuffix("/50") + "/51")
        opening = threading.Thread(target=open_another)
        opening.start()
        assert opening.native_id is not None
        # The name may be about to become free, so it is tried for a while.
        wait_until_asleep(opening.native_id)
        assert opening.is_alive()
        opening.join()
    assert errors == [errno.EADDRINUSE]


def test_mail_that_is_there_is_taken_while_another_thread_computes(inbox: sendfd.Inbox) -> None:
    stop = False

    def compute() -> None:
        while not stop:
            pass

    before = sys.getswitchinterval()
    sys.setswitchinterval(0.3)
    thread = threading.Thread(target=compute)
    thread.start()
    try:
        started = time.monotonic()
        parcels = []
        for _ in range(20):
            sendfd.send(ME, 0, timeout=None)
            parcels.append(inbox.recv())
        # Giving up the interpreter's lock each time takes 6 s, or 12.
        assert time.monotonic() - started < 3
    finally:
        stop = True
        sys.setswitchinterval(before)
        thread.join()
    for parcel in parcels:
        parcel.close()


WAITING = """
import sendfd, sys
inbox = sendfd.Inbox()
print("ready", flush=True)
try:
    inbox.recv()
except KeyboardInterrupt:
    print("interrupted", flush=True)
inbox.close()
"""


def test_ctrl_c_reaches_a_waiting_recv(child: Callable[..., Child]) -> None:
    receiver = child(WAITING)
    assert receiver.said() == "ready"
    wait_until_asleep(receiver.pid)
    receiver.process.send_signal(signal.SIGINT)
    assert receiver.said() == "interrupted"
    assert receiver.ends() == 0


def test_a_signal_handler_that_returns_does_not_end_the_wait(inbox: sendfd.Inbox) -> None:
    ran: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda signo, _: ran.append(signo))
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    started = time.monotonic()
    try:
        with pytest.raises(TimeoutError):
            inbox.recv(timeout=0.2)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert 0.15 < time.monotonic() - started < 5
    assert len(ran) > 1


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


def test_for() -> None:
    with sendfd.Inbox() as inbox:
        for i in range(3):
            sendfd.send(ME, 0, data=b"%d" % i)
        got = []
        for parcel in inbox:
            with parcel:
                got.append(parcel.data)
            if len(got) == 3:
                inbox.close()
        assert got == [b"0", b"1", b"2"]


def test_closing_from_another_thread_ends_a_for(inbox: sendfd.Inbox) -> None:
    iterating = threading.Thread(target=lambda: list(inbox))
    iterating.start()
    assert iterating.native_id is not None
    wait_until_asleep(iterating.native_id)
    inbox.close()
    iterating.join()


class ByThread(sendfd.Inbox):
    """With arguments of its own."""

    def __init__(self, name: str) -> None:
        super().__init__(signal=52, thread=True)
        self.name = name


def test_what_a_subclass_asks_for_is_opened() -> None:
    with ByThread("mine") as inbox:
        assert (inbox.name, inbox.signal, inbox.thread, inbox.signals) == ("mine", 52, True, False)
        sendfd.send(threading.get_native_id(), 0, signal=52)
        inbox.recv(timeout=5).close()


class Failing(sendfd.Inbox):
    def __init__(self) -> None:
        raise KeyError


@pytest.mark.filterwarnings("error")
def test_one_whose_init_did_not_run() -> None:
    with pytest.raises(KeyError):
        Failing()
    inbox = sendfd.Inbox.__new__(sendfd.Inbox)
    assert repr(inbox) == "<sendfd.Inbox not opened>"
    assert inbox.closed
    for name in ("signal", "thread", "signals"):
        with pytest.raises(ValueError, match="has not been opened"):
            getattr(inbox, name)
    for call in (inbox.recv, inbox.fileno):
        with pytest.raises(ValueError, match="has not been opened"):
            call()
    inbox.close()
    del inbox
    gc.collect()


def test_init_runs_once(inbox: sendfd.Inbox) -> None:
    with pytest.raises(ValueError, match="has been opened"):
        inbox.__init__(signal=51)  # type: ignore[misc]
    sendfd.send(ME, 0)
    inbox.recv(timeout=5).close()
    inbox.close()
    with pytest.raises(ValueError, match="has been opened"):
        inbox.__init__()  # type: ignore[misc]
    assert inbox.closed


def test_signatures() -> None:
    init = (
        "signal: 'int' = 50, *, thread: 'bool' = False, signals: 'bool' = False, "
        "users: 'Iterable[int]' = (), groups: 'Iterable[int]' = (), anyone: 'bool' = False, "
        "directory: 'StrOrBytesPath | None' = None"
    )
    assert str(inspect.signature(sendfd.Inbox)) == f"({init}) -> 'None'"
    assert init in pydoc.plain(pydoc.render_doc(sendfd.Inbox))
    if sys.version_info >= (3, 10):  # Before, types that are not of Python's own have none.
        assert str(inspect.signature(sendfd.Parcel)) == "()"


def test_select(inbox: sendfd.Inbox) -> None:
    assert select.select([inbox], [], [], 0) == ([], [], [])
    sendfd.send(ME, 0)
    assert select.select([inbox], [], [], 5) == ([inbox], [], [])
    inbox.recv(timeout=0).close()
    assert select.select([inbox], [], [], 0) == ([], [], [])


def test_poll_and_selectors(inbox: sendfd.Inbox) -> None:
    poll = select.poll()
    poll.register(inbox, select.POLLIN)
    with selectors.DefaultSelector() as selector:
        selector.register(inbox, selectors.EVENT_READ)
        assert selector.select(timeout=0) == []
        sendfd.send(ME, 0)
        assert poll.poll(5000) == [(inbox.fileno(), select.POLLIN)]
        assert len(selector.select(timeout=5)) == 1
        inbox.recv(timeout=0).close()
        assert poll.poll(0) == []


def test_an_inbox_of_a_thread() -> None:
    opened: list[int] = []
    told = threading.Event()
    got: list[bytes] = []

    def receive() -> None:
        with sendfd.Inbox(thread=True) as inbox:
            assert "thread" in repr(inbox)
            opened.append(threading.get_native_id())
            told.set()
            with inbox.recv(timeout=20) as parcel:
                got.append(parcel.data)

    thread = threading.Thread(target=receive)
    thread.start()
    assert told.wait(20)
    with pytest.raises(ConnectionRefusedError):
        sendfd.send(ME, 0, data=b"to the process")
    sendfd.send(opened[0], 0, data=b"to the thread")
    thread.join()
    assert got == [b"to the thread"]


def test_signals_and_sigtimedwait() -> None:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with sendfd.Inbox(signals=True) as inbox:
        signals = {inbox.signal, signal.SIGIO}
        got: list[bytes] = []
        for burst in (1, 3, 0, 2):
            for i in range(burst):
                sendfd.send(ME, 0, data=b"%d of %d" % (i, burst))
            while signal.sigtimedwait(signals, 0 if not burst or len(got) >= 6 else 0.05):
                while True:
                    try:
                        with inbox.recv(timeout=0) as parcel:
                            got.append(parcel.data)
                    except BlockingIOError:
                        break
        assert got == [b"%d of %d" % (i, burst) for burst in (1, 3, 2) for i in range(burst)]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask


def test_signals_are_for_one_thread() -> None:
    with sendfd.Inbox(signals=True) as inbox:
        errors: list[OSError] = []

        def elsewhere() -> None:
            try:
                inbox.recv(timeout=0)
            except PermissionError as error:
                errors.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert [error.errno for error in errors] == [errno.EPERM]
        sendfd.send(ME, 0)
        inbox.recv(timeout=5).close()


def test_a_forked_child_has_none(
    inbox: sendfd.Inbox, in_fork: Callable[[Callable[[], None]], int]
) -> None:
    def child() -> None:
        for call in (inbox.recv, inbox.fileno):
            with pytest.raises(PermissionError):
                call()
        assert repr(inbox) == "<sendfd.Inbox signal=50 of another process>"
        inbox.close()
        assert repr(inbox) == "<sendfd.Inbox signal=50 closed>"
        with sendfd.Inbox() as own:
            sendfd.send(os.getpid(), 0, data=b"child")
            with own.recv(timeout=5) as parcel:
                assert (parcel.data, parcel.pid) == (b"child", os.getpid())

    assert in_fork(child) == 0
    sendfd.send(ME, 0)
    inbox.recv(timeout=5).close()
