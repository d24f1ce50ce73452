"""sendfd.Outbox: what became of the parcels."""

from __future__ import annotations

import errno
import gc
import os
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any, Callable

import pytest

import sendfd
from conftest import wait_until_asleep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Child

ME = os.getpid()


@pytest.fixture
def outbox(inbox: sendfd.Inbox) -> Iterator[sendfd.Outbox]:
    with sendfd.Outbox(ME) as outbox:
        yield outbox


def fill(outbox: sendfd.Outbox) -> int:
    count = 0
    while True:
        try:
            outbox.send(0)
        except BlockingIOError as full:
            assert full.errno == errno.EAGAIN
            return count
        count += 1


def test_parcels_arrive_in_order(inbox: sendfd.Inbox, outbox: sendfd.Outbox) -> None:
    for i in range(50):
        outbox.send(*[0] * (i % 3), data=b"%d" % i)
    for i in range(50):
        with inbox.recv(timeout=5) as parcel:
            assert (parcel.data, len(parcel)) == (b"%d" % i, i % 3)


def test_taken(inbox: sendfd.Inbox, outbox: sendfd.Outbox) -> None:
    outbox.wait_taken()  # Nothing was sent.
    for _ in range(3):
        outbox.send(0)
    for _ in range(3):
        with pytest.raises(BlockingIOError):
            outbox.wait_taken(timeout=0)
        with pytest.raises(TimeoutError, match="wait_taken"):
            outbox.wait_taken(timeout=0.01)
        inbox.recv(timeout=5).close()
    outbox.wait_taken(timeout=0)
    outbox.wait_taken()


def test_it_waits_until_another_thread_has_taken_it(
    inbox: sendfd.Inbox, outbox: sendfd.Outbox
) -> None:
    outbox.send(0)
    waiting = threading.Thread(target=outbox.wait_taken)
    waiting.start()
    assert waiting.native_id is not None
    wait_until_asleep(waiting.native_id)
    assert waiting.is_alive()
    inbox.recv(timeout=5).close()
    waiting.join()


@pytest.mark.parametrize("untaken", [False, True])
def test_an_inbox_that_is_closed(inbox: sendfd.Inbox, outbox: sendfd.Outbox, untaken: bool) -> None:
    outbox.send(0)
    if not untaken:
        inbox.recv(timeout=5).close()
    inbox.close()
    if untaken:
        with pytest.raises(ConnectionResetError):
            outbox.wait_taken(timeout=5)
    else:
        outbox.wait_taken(timeout=5)
    with pytest.raises(BrokenPipeError):
        outbox.send(0)
    with sendfd.Inbox(), pytest.raises(BrokenPipeError):
        outbox.send(0)  # That is another one.


def test_what_was_discarded_was_taken(inbox: sendfd.Inbox, outbox: sendfd.Outbox) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    outbox.send(*[0] * 100)
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, limits[1]))
    try:
        with pytest.raises(OSError, match="EMFILE") as caught:
            inbox.recv(timeout=0)
        with pytest.raises(BlockingIOError):
            outbox.wait_taken(timeout=0)
        inbox.discard(caught.value)
        outbox.wait_taken(timeout=5)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


RECEIVER = """
import sendfd, sys
with sendfd.Inbox() as inbox:
    print("ready", flush=True)
    sys.stdin.readline()
    inbox.recv().close()
    print("taken", flush=True)
    sys.stdin.readline()
"""


def test_a_receiver_that_is_killed(child: Callable[..., Child]) -> None:
    receiver = child(RECEIVER)
    assert receiver.said() == "ready"
    with sendfd.Outbox(receiver.pid) as outbox:
        outbox.send(0)
        outbox.send(0)
        receiver.tell()
        assert receiver.said() == "taken"
        receiver.kill()
        with pytest.raises(ConnectionResetError):
            outbox.wait_taken()


LATE = """
import sendfd, sys
print("here", flush=True)
sys.stdin.readline()
with sendfd.Inbox() as inbox:
    inbox.recv().close()
"""


def test_opening_waits_for_the_inbox(child: Callable[..., Child]) -> None:
    receiver = child(LATE)
    assert receiver.said() == "here"
    with pytest.raises(ConnectionRefusedError):
        sendfd.Outbox(receiver.pid)
    with pytest.raises(TimeoutError):
        sendfd.Outbox(receiver.pid, timeout=0.02)
    receiver.tell()
    with sendfd.Outbox(receiver.pid, timeout=None) as outbox:
        outbox.send(0)
        outbox.wait_taken()
    assert receiver.ends() == 0


def test_opening_ends_with_the_task(child: Callable[..., Child]) -> None:
    receiver = child(LATE)
    assert receiver.said() == "here"
    threading.Timer(0.05, receiver.process.kill).start()
    started = time.monotonic()
    with pytest.raises(ProcessLookupError):
        sendfd.Outbox(receiver.pid, timeout=None)
    assert time.monotonic() - started < 5
    while threading.active_count() > 1:
        os.sched_yield()


def test_a_full_queue(inbox: sendfd.Inbox, outbox: sendfd.Outbox) -> None:
    count = fill(outbox)
    with pytest.raises(TimeoutError):
        outbox.send(0, timeout=0.02)
    sender = threading.Thread(target=outbox.send, args=(0,), kwargs={"timeout": None})
    sender.start()
    for _ in range(count + 1):
        inbox.recv(timeout=10).close()
    sender.join()
    outbox.wait_taken(timeout=0)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs os.pidfd_open")
def test_by_pidfd(inbox: sendfd.Inbox) -> None:
    with open(os.pidfd_open(ME)) as pidfd, sendfd.Outbox(pidfd=pidfd) as outbox:
        outbox.send(0)
        inbox.recv(timeout=5).close()
    for arguments in ({}, {"to": ME, "pidfd": 0}):
        wrong: Any = arguments
        with pytest.raises(TypeError, match="to or pidfd"):
            sendfd.Outbox(**wrong)


def test_no_such_process() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    for timeout in (0, 1, None):
        with pytest.raises(ProcessLookupError):
            sendfd.Outbox(ended.pid, timeout=timeout)


def test_it_is_closed(inbox: sendfd.Inbox) -> None:
    with sendfd.Outbox(ME) as outbox:
        outbox.send(0)
        assert repr(outbox) == f"<sendfd.Outbox to={ME} signal=50>"
    assert outbox.closed
    assert repr(outbox) == f"<sendfd.Outbox to={ME} signal=50 closed>"
    outbox.close()
    for call in (outbox.send, outbox.wait_taken, outbox.request, outbox.fileno):
        with pytest.raises(OSError, match="closed") as caught:
            call()
        assert caught.value.errno == errno.EBADF
    inbox.recv(timeout=5).close()


def test_a_forgotten_one_is_closed_with_a_warning(inbox: sendfd.Inbox) -> None:
    outbox = sendfd.Outbox(ME)
    with pytest.warns(ResourceWarning, match=f"unclosed <sendfd.Outbox to={ME}"):
        del outbox
        gc.collect()


@pytest.mark.filterwarnings("error")
def test_one_that_was_not_opened() -> None:
    with pytest.raises(ConnectionRefusedError):
        sendfd.Outbox(ME)
    outbox = sendfd.Outbox.__new__(sendfd.Outbox)
    assert repr(outbox) == "<sendfd.Outbox not opened>"
    assert outbox.closed
    with pytest.raises(ValueError, match="not been opened"):
        outbox.send(0)
    outbox.close()


def test_a_forked_child_does_not_have_it(
    inbox: sendfd.Inbox, outbox: sendfd.Outbox, in_fork: Callable[[Callable[[], None]], int]
) -> None:
    def child() -> None:
        for call in (outbox.send, outbox.wait_taken, outbox.request, outbox.fileno):
            with pytest.raises(PermissionError):
                call()
        assert "another process" in repr(outbox)
        outbox.close()

    assert in_fork(child) == 0
    outbox.send(0)
    inbox.recv(timeout=5).close()
    outbox.wait_taken(timeout=5)


def test_threads_share_it(inbox: sendfd.Inbox, outbox: sendfd.Outbox) -> None:
    each, many = 100, 8

    def send() -> None:
        for _ in range(each):
            outbox.send(0, timeout=None)
            outbox.wait_taken()

    threads = [threading.Thread(target=send) for _ in range(many)]
    for thread in threads:
        thread.start()
    for _ in range(each * many):
        inbox.recv(timeout=20).close()
    for thread in threads:
        thread.join()


WAITING = """
import sendfd, sys
outbox = sendfd.Outbox(int(sys.argv[1]))
outbox.send(0)
print("sent", flush=True)
try:
    outbox.wait_taken()
except KeyboardInterrupt:
    print("interrupted", flush=True)
outbox.close()
"""


def test_ctrl_c_reaches_who_waits(inbox: sendfd.Inbox, child: Callable[..., Child]) -> None:
    sender = child(WAITING, ME)
    assert sender.said() == "sent"
    wait_until_asleep(sender.pid)
    sender.process.send_signal(signal.SIGINT)
    assert sender.said() == "interrupted"
    assert sender.ends() == 0
