"""sendfd.Inbox: who waits for mail, in which ways, and what ends a wait; without asyncio."""

from __future__ import annotations

import contextlib
import errno
import os
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
    from conftest import Child

ME = os.getpid()


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
