"""sendfd.send()."""

from __future__ import annotations

import array
import errno
import fcntl
import mmap
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Callable

import pytest

import sendfd
from conftest import wait_until_asleep

if TYPE_CHECKING:
    from conftest import Child

ME = os.getpid()


def test_a_descriptor_arrives(inbox: sendfd.Inbox) -> None:
    reading, writing = os.pipe()
    sendfd.send(ME, reading)
    os.close(reading)
    with inbox.recv(timeout=5) as parcel, parcel.open("rb", 0) as file:
        os.write(writing, b"through")
        assert file.read(7) == b"through"
    os.close(writing)


def test_ints_and_whatever_has_fileno(inbox: sendfd.Inbox) -> None:
    with open(os.devnull) as file:
        sendfd.send(ME, 0, file, 1, inbox, data=b"four")
        with inbox.recv(timeout=5) as parcel:
            assert len(parcel.fds) == 4
            assert os.path.sameopenfile(parcel.fds[1], file.fileno())
            assert parcel.data == b"four"


def mmapped(data: bytes) -> mmap.mmap:
    memory = mmap.mmap(-1, len(data))
    memory[:] = data
    return memory


@pytest.mark.parametrize(
    "data",
    [
        b"abc",
        bytearray(b"abc"),
        memoryview(b"a-b-c")[::2],
        array.array("b", b"abc"),
        mmapped(b"abc"),
    ],
)
def test_data_is_anything_with_the_buffer_interface(inbox: sendfd.Inbox, data: Any) -> None:
    sendfd.send(ME, 0, data=data)
    with inbox.recv(timeout=5) as parcel:
        assert parcel.data == b"abc"


def test_the_largest_parcel(inbox: sendfd.Inbox) -> None:
    data = os.urandom(sendfd.MAX_DATA)
    sendfd.send(ME, *[0] * sendfd.MAX_FDS, data=data)
    with inbox.recv(timeout=5) as parcel:
        assert len(parcel.fds) == sendfd.MAX_FDS
        assert parcel.data == data


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((b"1", 0), {}, "to must be an int, not bytes"),
        ((1.0, 0), {}, "to must be an int, not float"),
        ((True, 0), {}, "to must be an int, not bool"),
        ((ME, "0"), {}, r"descriptor must be an int or have a fileno\(\) method, not str"),
        ((ME, None), {}, "descriptor must be"),
        ((ME, 0, 0.5), {}, "descriptor must be"),
        ((ME, True), {}, "descriptor must be an int, not bool"),
        ((), {}, "to or pidfd"),
        ((None, 0), {}, "to or pidfd"),
        ((ME, 0), {"pidfd": 0}, "to or pidfd"),
        ((None, 0), {"pidfd": "3"}, r"pidfd must be an int or have a fileno\(\) method, not str"),
        ((ME, 0), {"data": "text"}, "data must be a bytes-like object, not str"),
        ((ME, 0), {"data": 3}, "data must be"),
        ((ME, 0), {"data": None}, "data must be"),
        ((ME, 0), {"signal": "50"}, "signal must be an int, not str"),
        ((ME, 0), {"signal": None}, "signal must be an int"),
        ((ME, 0), {"timeout": "soon"}, "timeout must be a number or None, not str"),
        ((ME, 0), {"signo": 50}, "signo"),
        ((ME, [0, 1]), {}, "descriptor must be"),
    ],
)
def test_wrong_types(arguments: Any, options: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        sendfd.send(*arguments, **options)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((1 << 40, 0), {}),
        ((ME, 1 << 31), {}),
        ((ME, 0), {"signal": -(1 << 40)}),
        ((ME, 0), {"timeout": -1}),
        ((ME, 0), {"timeout": float("nan")}),
        ((ME, 0), {"timeout": float("inf")}),
        ((ME, 0), {"timeout": 1e300}),
        ((ME, 0), {"timeout": 10**400}),
    ],
)
def test_numbers_out_of_range(arguments: Any, options: Any) -> None:
    with pytest.raises(ValueError, match="out of range"):
        sendfd.send(*arguments, **options)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs os.pidfd_open")
def test_by_pidfd(inbox: sendfd.Inbox) -> None:
    with open(os.pidfd_open(ME)) as pidfd:
        sendfd.send(None, 0, 1, pidfd=pidfd.fileno(), data=b"by number")
        sendfd.send(pidfd=pidfd, data=b"nothing but bytes")
        for data, count in ((b"by number", 2), (b"nothing but bytes", 0)):
            with inbox.recv(timeout=5) as parcel:
                assert (parcel.data, len(parcel.fds)) == (data, count)
    for wrong, number in ((-1, errno.EBADF), (1_000_000, errno.EBADF), (0, errno.EINVAL)):
        with pytest.raises(OSError, match=f"pidfd.*{wrong}") as caught:
            sendfd.send(None, 0, pidfd=wrong)
        assert caught.value.errno == number


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs os.pidfd_open")
def test_a_pidfd_that_is_taken_for_a_pid_is_named() -> None:
    pidfd = os.pidfd_open(ME)
    number = 500
    while os.path.exists(f"/proc/{number}"):
        number += 1
    copy = fcntl.fcntl(pidfd, fcntl.F_DUPFD_CLOEXEC, number)
    os.close(pidfd)
    with pytest.raises(ProcessLookupError, match=f"{copy} is a pidfd of this process") as caught:
        sendfd.send(copy, 0)
    assert caught.value.errno == errno.ESRCH
    os.close(copy)
    with pytest.raises(ProcessLookupError) as caught:
        sendfd.send(copy, 0)
    assert "pidfd" not in str(caught.value)


def test_tls_is_refused(inbox: sendfd.Inbox) -> None:
    contexts = [ssl.SSLContext(side) for side in (ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER)]
    for context in contexts:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("aNULL:@SECLEVEL=0")  # It needs no certificate.
    pair = socket.socketpair()
    with contexts[0].wrap_socket(pair[0], do_handshake_on_connect=False) as client:
        server = threading.Thread(
            target=lambda: contexts[1].wrap_socket(pair[1], server_side=True).unwrap().close()
        )
        server.start()
        client.do_handshake()
        with client.makefile("rb") as file, client.makefile("r", encoding="utf-8") as text:
            for way in (client, file, text):
                with pytest.raises(TypeError, match="TLS"):
                    sendfd.send(ME, 0, way)
        plain = client.unwrap()
        sendfd.send(ME, plain)
        inbox.recv(timeout=5).close()
        server.join()
    with (
        contexts[1].wrap_socket(socket.socket(), server_side=True) as listener,
        pytest.raises(TypeError, match="TLS"),
    ):
        sendfd.send(ME, listener)
    with pytest.raises(BlockingIOError):
        inbox.recv(timeout=0)


TOO_LONG = """
import errno, mmap, os, resource, sendfd
with sendfd.Inbox(), mmap.mmap(-1, 1 << 30) as data:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        sendfd.send(os.getpid(), 0, data=data)
    except OSError as error:
        print(error.errno == errno.EMSGSIZE, str(1 << 30) in str(error), flush=True)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024 < 100)
"""


def test_data_that_is_too_long_is_not_copied(child: Callable[..., Child]) -> None:
    sender = child(TOO_LONG)
    assert sender.said() == "True True"
    assert sender.said() == "True"


def test_a_buffer_that_fails_says_so_itself() -> None:
    released = memoryview(b"data")
    released.release()
    with pytest.raises(ValueError, match="released memoryview"):
        sendfd.send(ME, 0, data=released)


class Interrupted:
    def __buffer__(self, flags: int) -> memoryview:
        raise KeyboardInterrupt


@pytest.mark.skipif(sys.version_info < (3, 12), reason="has no buffers in Python")
def test_a_buffer_that_is_interrupted() -> None:
    with pytest.raises(KeyboardInterrupt):
        sendfd.send(ME, 0, data=Interrupted())


class Broken:
    def fileno(self) -> Any:
        return "none"


class Failing:
    def fileno(self) -> int:
        raise KeyError("mine")


def test_a_fileno_that_misbehaves() -> None:
    with pytest.raises(TypeError, match=r"fileno\(\) must be an int, not str"):
        sendfd.send(ME, Broken())
    with pytest.raises(KeyError, match="mine"):
        sendfd.send(ME, Failing())


@pytest.mark.parametrize(
    ("arguments", "options", "number"),
    [
        ((0, 0), {}, errno.EINVAL),
        ((-ME, 0), {}, errno.EINVAL),
        ((ME, 0), {"signal": signal.SIGUSR1}, errno.EINVAL),
        ((ME, 0), {"signal": 65}, errno.EINVAL),
        ((ME, *[0] * 253), {}, errno.EINVAL),
        ((ME, -1), {}, errno.EBADF),
        ((ME, 1_000_000), {}, errno.EBADF),
        ((ME, 0), {"data": bytes(65537)}, errno.EMSGSIZE),
    ],
)
def test_nonsense(inbox: sendfd.Inbox, arguments: Any, options: Any, number: int) -> None:
    with pytest.raises(OSError, match=re.escape(errno.errorcode[number])) as caught:
        sendfd.send(*arguments, **options)
    assert caught.value.errno == number
    with pytest.raises(BlockingIOError):
        inbox.recv(timeout=0)


def test_no_such_process() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    with pytest.raises(ProcessLookupError) as caught:
        sendfd.send(ended.pid, 0)
    assert caught.value.errno == errno.ESRCH
    assert str(ended.pid) in str(caught.value)


def test_no_inbox() -> None:
    with pytest.raises(ConnectionRefusedError) as caught:
        sendfd.send(ME, 0, signal=51)
    assert caught.value.errno == errno.ECONNREFUSED
    assert re.search(rf"sendfds?\({ME}, 51, .*ECONNREFUSED", str(caught.value))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_not_allowed(in_fork: Callable[[Callable[[], None]], int]) -> None:
    def somebody_else() -> None:
        os.setuid(65534)
        with pytest.raises(PermissionError) as caught:
            sendfd.send(ME, 0)
        assert caught.value.errno == errno.EPERM

    assert in_fork(somebody_else) == 0


def fill(pid: int) -> int:
    count = 0
    while True:
        try:
            sendfd.send(pid, 0)
        except BlockingIOError as full:
            assert full.errno == errno.EAGAIN
            return count
        count += 1


def test_a_full_queue(inbox: sendfd.Inbox) -> None:
    count = fill(ME)
    started = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        sendfd.send(ME, 0, timeout=0.05)
    assert caught.value.errno == errno.ETIMEDOUT
    assert 0.04 < time.monotonic() - started < 5
    for _ in range(count):
        inbox.recv(timeout=0).close()
    with pytest.raises(BlockingIOError):
        inbox.recv(timeout=0)


@pytest.mark.parametrize("timeout", [None, 30])
def test_waiting_for_room(inbox: sendfd.Inbox, timeout: float | None) -> None:
    count = fill(ME)
    sender = threading.Thread(target=sendfd.send, args=(ME, 0), kwargs={"timeout": timeout})
    sender.start()
    for _ in range(count + 1):
        inbox.recv(timeout=10).close()
    sender.join()
    with pytest.raises(BlockingIOError):
        inbox.recv(timeout=0)


STOPPED = """
import os, sendfd, sys
inbox = sendfd.Inbox()
print("ready", flush=True)
sys.stdin.readline()
"""

INTERRUPTED = """
import sendfd, sys
pid = int(sys.argv[1])
try:
    while True:
        sendfd.send(pid, 0)
except BlockingIOError:
    print("full", flush=True)
try:
    sendfd.send(pid, 0, timeout=None)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_ctrl_c_reaches_a_waiting_send(child: Callable[..., Child]) -> None:
    receiver = child(STOPPED)
    assert receiver.said() == "ready"
    sender = child(INTERRUPTED, receiver.pid)
    assert sender.said() == "full"
    wait_until_asleep(sender.pid)
    sender.process.send_signal(signal.SIGINT)
    assert sender.said() == "interrupted"
    assert sender.ends() == 0


def test_a_receiver_that_dies_ends_the_wait(child: Callable[..., Child]) -> None:
    receiver = child(STOPPED)
    assert receiver.said() == "ready"
    fill(receiver.pid)
    errors: list[OSError] = []

    def send() -> None:
        try:
            sendfd.send(receiver.pid, 0, timeout=None)
        except OSError as error:
            errors.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    receiver.kill()
    sender.join()
    # Its sockets go before it does.
    assert [type(error) for error in errors] in ([ProcessLookupError], [ConnectionRefusedError])
