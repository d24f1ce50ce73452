"""sendfd.multiprocessing: descriptors that are pickled before anybody knows for whom."""

from __future__ import annotations

import errno
import os
import pickle
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
from multiprocessing import reduction
from typing import TYPE_CHECKING, Any, Callable

import pytest

import sendfd.multiprocessing
from conftest import content, least_free, pipe_with, wait_until_asleep

if TYPE_CHECKING:
    from conftest import Child

pytestmark = pytest.mark.usefixtures("uninstalled")

ME = os.getpid()


def test_a_ticket_is_redeemed_once(installed: None) -> None:
    fd = pipe_with(b"mine")
    message = reduction.ForkingPickler.dumps(reduction.DupFd(fd))
    os.close(fd)
    assert content(pickle.loads(message).detach()) == b"mine"
    with pytest.raises(EOFError):
        pickle.loads(message).detach()


REDEEMER = """
import os, pickle, sys
print("ready", flush=True)
while line := sys.stdin.readline():
    ticket = pickle.loads(bytes.fromhex(line))
    try:
        with open(ticket.detach(), "rb") as file:
            print(os.get_inheritable(file.fileno()), file.read().decode(), flush=True)
    except Exception as error:
        print(type(error).__name__, flush=True)
"""


def ticket_for(text: bytes) -> str:
    fd = pipe_with(text)
    message = bytes(reduction.ForkingPickler.dumps(sendfd.multiprocessing.DupFd(fd)))
    os.close(fd)
    return message.hex()


def test_a_ticket_goes_to_an_unrelated_process(child: Callable[..., Child]) -> None:
    first, second = child(REDEEMER), child(REDEEMER)
    assert (first.said(), second.said()) == ("ready", "ready")
    for i in range(5):
        for process in (first, second):
            ticket = ticket_for(b"%d" % i)
            process.tell(ticket)
            assert process.said() == f"False {i}"
    ticket = ticket_for(b"once")
    first.tell(ticket)
    assert first.said() == "False once"
    second.tell(ticket)
    assert second.said() == "EOFError"
    second.tell(ticket_for(b"still well"))
    assert second.said() == "False still well"
    # Everything is begun anew, and the channel that was kept has ended.
    lost = ticket_for(b"lost")
    sendfd.multiprocessing.uninstall()
    second.tell(lost)
    assert second.said() == "ConnectionRefusedError"
    second.tell(ticket_for(b"anew"))
    assert second.said() == "False anew"
    assert (first.ends(), second.ends()) == (0, 0)


ISSUER = """
import os, sys
from multiprocessing import reduction
import sendfd.multiprocessing as m
print(bytes(reduction.ForkingPickler.dumps(m.DupFd(0))).hex(), flush=True)
print(bytes(reduction.ForkingPickler.dumps(m.DupFd(0))).hex(), flush=True)
sys.stdin.readline()
"""


def test_another_default_timeout_does_not_matter(child: Callable[..., Child]) -> None:
    issuer = child(ISSUER)
    socket.setdefaulttimeout(0)
    try:
        os.close(pickle.loads(bytes.fromhex(issuer.said())).detach())
    finally:
        socket.setdefaulttimeout(None)


def test_an_issuer_that_dies_is_no_hang(child: Callable[..., Child]) -> None:
    issuer = child(ISSUER)
    first, second = (pickle.loads(bytes.fromhex(issuer.said())) for _ in range(2))
    os.close(first.detach())
    issuer.kill()
    with pytest.raises(ProcessLookupError):
        second.detach()


def test_an_issuer_that_is_stopped_does_not_disturb_others(child: Callable[..., Child]) -> None:
    stopped, well = child(ISSUER), child(ISSUER)
    tickets = [pickle.loads(bytes.fromhex(issuer.said())) for issuer in (stopped, well)]
    later = pickle.loads(bytes.fromhex(stopped.said()))
    os.close(tickets[0].detach())
    stopped.process.send_signal(signal.SIGSTOP)
    waiting = threading.Thread(target=lambda: os.close(later.detach()))
    waiting.start()
    os.close(tickets[1].detach())
    stopped.process.send_signal(signal.SIGCONT)
    waiting.join()


def test_what_was_never_redeemed_goes_with_uninstall(installed: None) -> None:
    reading, writing = os.pipe()
    for _ in range(20):
        reduction.DupFd(writing)
    os.close(writing)
    sendfd.multiprocessing.uninstall()
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_a_full_table_loses_nothing(child: Callable[..., Child]) -> None:
    issuer = child(ISSUER)
    first, second = (pickle.loads(bytes.fromhex(issuer.said())) for _ in range(2))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    for ticket in (first, second):  # Without a channel, and with one.
        resource.setrlimit(resource.RLIMIT_NOFILE, (least_free(), limits[1]))
        try:
            with pytest.raises(OSError, match="open files") as caught:
                ticket.detach()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert caught.value.errno == errno.EMFILE
        os.close(ticket.detach())


IN_FLIGHT = """
import errno, os, resource, socket, sys
import sendfd.multiprocessing as m
from multiprocessing import reduction

os.setuid(65534)
for _ in range(2):
    print(bytes(reduction.ForkingPickler.dumps(m.DupFd(0))).hex(), flush=True)
sys.stdin.readline()
left, right = socket.socketpair()
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
try:
    while True:
        socket.send_fds(left, [b"x"], [0])
except OSError as error:
    assert error.errno == errno.ETOOMANYREFS, error
print("full", flush=True)
sys.stdin.readline()
right.close()
print("empty", flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_too_many_in_flight_lose_nothing(
    child: Callable[..., Child], in_fork: Callable[[Callable[[], None]], int]
) -> None:
    issuer = child(IN_FLIGHT)
    first, second = (pickle.loads(bytes.fromhex(issuer.said())) for _ in range(2))

    def as_the_same_user() -> None:
        os.setuid(65534)
        os.close(first.detach())
        issuer.tell()
        assert issuer.said() == "full"
        with pytest.raises(OSError, match=rf"process {issuer.pid}: Too many references") as caught:
            second.detach()
        assert caught.value.errno == errno.ETOOMANYREFS
        issuer.tell()
        assert issuer.said() == "empty"
        os.close(second.detach())

    assert in_fork(as_the_same_user) == 0
    issuer.tell()
    assert issuer.ends() == 0


EXITING = """
import multiprocessing.util
import atexit, os, socket, sys

def redeem(queue, gate):
    gate.recv_bytes()
    with queue.get() as left:
        left.sendall(b"in time")

context = multiprocessing.get_context("fork")
here, there = context.Pipe()
# What is registered first runs last: of all, only multiprocessing's own exit is still to come.
atexit.register(here.send_bytes, b"going")
import sendfd.multiprocessing
sendfd.multiprocessing.install()
queue = context.SimpleQueue()
process = context.Process(target=redeem, args=(queue, there))
process.start()
kept = socket.socket(fileno=int(sys.stdin.readline()))
queue.put(kept)
kept.close()
"""


def test_children_may_ask_while_their_parent_exits() -> None:
    left, right = socket.socketpair()
    command = [sys.executable, "-W", "error", "-c", EXITING]
    with left, right:
        right.set_inheritable(True)
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, text=True, pass_fds=[right.fileno()]
        )
        process.communicate(f"{right.fileno()}\n")
        right.close()
        assert process.returncode == 0
        assert left.recv(100) == b"in time"


def channel_to(pid: int) -> socket.socket:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with there:
        sendfd.send(pid, there, signal=48)
    return here


def test_one_that_dies_before_it_takes_leaves_nothing_open(installed: None) -> None:
    reading, writing = os.pipe()
    ticket: Any = reduction.DupFd(writing)
    os.close(writing)
    with channel_to(ME) as channel:
        channel.send(ticket._token)
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_nonsense_gets_nothing_and_does_no_harm(installed: None) -> None:
    fd = pipe_with(b"still there")
    ticket = reduction.DupFd(fd)
    os.close(fd)
    datagrams = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with datagrams[0], datagrams[1], socket.socket() as unconnected, open(os.devnull) as file:
        for source in (datagrams[1], unconnected, file):
            sendfd.send(ME, source, source, signal=48, data=b"?")
    for question in (os.urandom(16), b"?", bytes(1000)):
        with channel_to(ME) as channel:
            for _ in range(3):
                channel.send(question)
                assert channel.recv(10) == b"\0"
    assert content(ticket.detach()) == b"still there"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_another_user_gets_nothing(
    installed: None, in_fork: Callable[[Callable[[], None]], int]
) -> None:
    fd = pipe_with(b"not yours")
    ticket = reduction.DupFd(fd)
    os.close(fd)

    def as_another() -> None:
        os.setuid(65534)
        with pytest.raises(PermissionError):
            ticket.detach()

    assert in_fork(as_another) == 0
    assert content(ticket.detach()) == b"not yours"


def times_it_slept(status: int) -> int:
    found = re.search(
        rb"^voluntary_ctxt_switches:\s*(\d+)", os.pread(status, 4096, 0), re.MULTILINE
    )
    assert found is not None
    return int(found[1])


def test_an_issuer_whose_table_is_full_goes_on_later() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[1] < 4096:
        pytest.skip("needs 4096 descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, limits[1]))
    many = [os.dup(0) for _ in range(1100)]  # Beyond what select() can do.
    try:
        ticket: Any = sendfd.multiprocessing.DupFd(0)
        channel_to(ME).close()
        (server,) = (t.native_id for t in threading.enumerate() if t.name == "sendfd tickets")
        assert server is not None
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        status = os.open(f"/proc/self/task/{server}/status", os.O_RDONLY)
        many.append(status)
        wait_until_asleep(server)
        slept = times_it_slept(status)
        resource.setrlimit(resource.RLIMIT_NOFILE, (least_free(), limits[1]))
        sendfd.send(ME, there, signal=48)
        while times_it_slept(status) == slept:
            os.sched_yield()
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, limits[1]))
        with here, there:
            here.send(ticket._token)
            assert here.recv(1) == b"\1"
    finally:
        for fd in many:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
