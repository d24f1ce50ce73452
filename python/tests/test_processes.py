"""Between processes: order, forks, exits, and nothing that grows."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING, Callable

import pytest

import sendfd
from conftest import open_descriptors, resident_pages

if TYPE_CHECKING:
    from conftest import Child

ME = os.getpid()

SENDER = """
import os, sendfd, sys
pid, count = int(sys.argv[1]), int(sys.argv[2])
with open(os.devnull) as file:
    for i in range(count):
        sendfd.send(pid, file, data=b"%d" % i, timeout=None)
"""


def test_four_senders_each_in_order(inbox: sendfd.Inbox, child: Callable[..., Child]) -> None:
    each = 10_000
    senders = [child(SENDER, ME, each) for _ in range(4)]
    got: dict[int, list[int]] = {sender.pid: [] for sender in senders}
    for _ in range(each * len(senders)):
        with inbox.recv(timeout=30) as parcel:
            got[parcel.pid].append(int(parcel.data))
    assert all(numbers == list(range(each)) for numbers in got.values())
    assert [sender.ends() for sender in senders] == [0] * len(senders)


DYING = """
import os, sendfd, signal, sys
reading, writing = os.pipe()
os.write(writing, b"last words")
sendfd.send(int(sys.argv[1]), reading)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_sender_sent_outlives_it(inbox: sendfd.Inbox, child: Callable[..., Child]) -> None:
    sender = child(DYING, ME)
    assert sender.ends() == -signal.SIGKILL
    with inbox.recv(timeout=5) as parcel, parcel.open("rb") as file:
        assert parcel.pid == sender.pid
        assert file.read() == b"last words"


def test_forks_while_a_thread_sends(inbox: sendfd.Inbox) -> None:
    stop = threading.Event()
    sent: list[int] = []

    def send() -> None:
        i = 0
        while not stop.is_set():
            sendfd.send(ME, 0, data=b"%d" % i, timeout=None)
            i += 1
        sent.append(i)

    def receive() -> None:
        expected = 0
        while True:
            with inbox.recv(timeout=20) as parcel:
                if parcel.data == b"end":
                    got.append(expected)
                    return
                if parcel.pid == ME:
                    assert int(parcel.data) == expected
                    expected += 1
                else:
                    children.append(parcel.pid)

    got: list[int] = []
    children: list[int] = []
    threads = [threading.Thread(target=send), threading.Thread(target=receive)]
    for thread in threads:
        thread.start()
    forked = []
    for _ in range(50):
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                signal.alarm(20)
                sendfd.send(ME, 0, timeout=None)
                with sendfd.Inbox() as own:
                    sendfd.send(os.getpid(), 0)
                    own.recv(timeout=5).close()
                code = 0
            finally:
                os._exit(code)
        forked.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in forked]
    stop.set()
    threads[0].join()
    sendfd.send(ME, 0, data=b"end", timeout=None)
    threads[1].join()
    assert codes == [0] * len(forked)
    assert sorted(children) == sorted(forked)
    assert got == sent


EXITING = """
import sendfd, sys, threading
inbox = sendfd.Inbox()
waiting = sendfd.Inbox(51)
thread = threading.Thread(target=waiting.recv, daemon=True)
thread.start()
print("ready", flush=True)
sys.stdin.readline()
kept = inbox.recv(timeout=5)
if sys.argv[1] == "clean":
    kept.close()
    inbox.close()
"""


@pytest.mark.parametrize("how", ["clean", "as it is"])
def test_the_interpreter_ends_with_mail_pending(child: Callable[..., Child], how: str) -> None:
    receiver = child(EXITING, how)
    assert receiver.said() == "ready"
    reading, writing = os.pipe()
    for _ in range(10):
        sendfd.send(receiver.pid, writing)
    os.close(writing)
    receiver.tell()
    assert receiver.ends() == 0
    # Nobody has the other end any more: not the queue either.
    assert os.read(reading, 1) == b""
    os.close(reading)
    with pytest.raises(ProcessLookupError):
        sendfd.send(receiver.pid, 0)


BUSY = """
import sendfd, sys, threading
inbox = sendfd.Inbox()
def receive():
    while True:
        inbox.recv().close()
for _ in range(2):
    threading.Thread(target=receive, daemon=True).start()
print("ready", flush=True)
sys.stdin.readline()
"""


def test_the_interpreter_ends_while_threads_receive(child: Callable[..., Child]) -> None:
    for _ in range(10):
        receiver = child(BUSY)
        assert receiver.said() == "ready"
        receiver.tell()
        with contextlib.suppress(ProcessLookupError, ConnectionRefusedError):
            while True:
                sendfd.send(receiver.pid, 0, timeout=None)
        assert receiver.ends() == 0


ECHO = """
import sendfd, sys
pid = int(sys.argv[1])
with sendfd.Inbox() as inbox:
    print("ready", flush=True)
    while True:
        with inbox.recv() as parcel:
            if not parcel.data:
                break
            sendfd.send(pid, *parcel.fds, data=parcel.data, timeout=None)
"""


def test_many_round_trips_grow_nothing(inbox: sendfd.Inbox, child: Callable[..., Child]) -> None:
    echo = child(ECHO, ME)
    assert echo.said() == "ready"

    def round_trips(count: int) -> tuple[int, set[int], int]:
        for _ in range(count):
            sendfd.send(echo.pid, 0, data=b"there and back")
            inbox.recv(timeout=20).close()
        return resident_pages(), open_descriptors(), len(os.listdir("/proc/self/fd"))

    pages, *descriptors = round_trips(10_000)
    pages_after, *descriptors_after = round_trips(100_000)
    assert descriptors_after == descriptors
    assert pages_after - pages < 256
    sendfd.send(echo.pid, 0)
    assert echo.ends() == 0


CLOSED_WHILE_A_CHILD_HAS_NOT_RUN = """
import ctypes, os, sendfd
inbox = sendfd.Inbox()
sendfd.send(os.getpid(), 0)
inbox.recv().close()
reading, writing = os.pipe()
# By the system call, so that no handler runs in the child.
child = ctypes.CDLL(None).syscall(ctypes.c_long(57))
if child == 0:
    os.close(writing)
    os.read(reading, 1)
    os._exit(0)
inbox.close()
try:
    sendfd.send(os.getpid(), 0)
except ConnectionRefusedError:
    print("refused", flush=True)
os.close(writing)
os.waitpid(child, 0)
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="has the number of fork() there")
def test_an_inbox_is_closed_while_a_forked_child_has_not_run(child: Callable[..., Child]) -> None:
    program = child(CLOSED_WHILE_A_CHILD_HAS_NOT_RUN)
    assert program.said() == "refused"
    assert program.ends() == 0
