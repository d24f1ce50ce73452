"""Guests, addresses and directories."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sendfd

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become other users")
GUEST = 1_000_000 + os.getpid()


def as_user(uid: int, code: str, *args: str, stdout: int | None = None) -> subprocess.Popen[bytes]:
    """A process that becomes another user, with a group of the same number, and runs `code`."""
    # Imported first: it may be out of that user's sight.
    lines = "import asyncio, os, sendfd, sys\nos.setgroups([])\n"
    lines += f"os.setresgid({uid}, {uid}, {uid})\nos.setresuid({uid}, {uid}, {uid})\n"
    return subprocess.Popen([sys.executable, "-c", lines + code, *args], stdout=stdout)


@needs_root
@pytest.mark.parametrize("who", [{"users": [GUEST]}, {"groups": (GUEST,)}, {"anyone": True}])
@pytest.mark.parametrize("signals", [False, True])
def test_a_guest_sends(who: dict[str, object], signals: bool) -> None:
    code = "sendfd.send(int(sys.argv[1]), 0, data=b'hello', timeout=10)"
    with sendfd.Inbox(signals=signals, **who) as inbox:  # type: ignore[arg-type]
        sender = as_user(GUEST, code, str(os.getpid()))
        with inbox.recv(timeout=10) as parcel:
            assert (parcel.data, parcel.uid) == (b"hello", GUEST)
        assert sender.wait() == 0


@needs_root
def test_a_stranger_is_turned_away() -> None:
    code = """
try:
    sendfd.send(int(sys.argv[1]), 0, timeout=10)
except PermissionError:
    sys.exit(7)
"""
    with sendfd.Inbox(users=[GUEST + 1]) as inbox:
        sender = as_user(GUEST, code, str(os.getpid()))
        while sender.poll() is None:
            with pytest.raises(TimeoutError):
                inbox.recv(timeout=0.01)
        assert sender.wait() == 7


@needs_root
def test_an_outbox_says_what_it_was_refused_for() -> None:
    """The same number as in a forked child."""
    code = """
with sendfd.Outbox(sys.argv[1]) as outbox:
    print("open", flush=True)
    pid = os.fork()
    try:
        outbox.send(timeout=10)
    except PermissionError as error:
        assert ("opened before a fork" if pid == 0 else "no guest of it") in str(error), error
    else:
        raise AssertionError
    if pid == 0:
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
"""
    with sendfd.Inbox(users=[GUEST + 1]) as inbox:
        sender = as_user(GUEST, code, inbox.address, stdout=subprocess.PIPE)
        assert sender.stdout is not None
        assert sender.stdout.readline() == b"open\n"
        while sender.poll() is None:
            with pytest.raises(TimeoutError):
                inbox.recv(timeout=0.01)
        assert sender.wait() == 0
        sender.stdout.close()


@needs_root
def test_a_guest_does_not_wait() -> None:
    code = """
with sendfd.Outbox(sys.argv[1]) as outbox:
    try:
        outbox.send(data=b"early")
    except BlockingIOError:
        outbox.send(data=b"late", timeout=10)
"""
    with sendfd.Inbox(anyone=True) as inbox:
        sender = as_user(GUEST, code, inbox.address)
        assert inbox.recv(timeout=10).data in (b"early", b"late")
        assert sender.wait() == 0


@needs_root
def test_a_guest_awaits_all() -> None:
    code = """
async def main():
    await sendfd.asend(sys.argv[1], data=b"1")
    with sendfd.Outbox(sys.argv[1]) as outbox:
        await outbox.asend(data=b"2")
        assert (await outbox.arequest(data=b"3")).data == b"answer"
    assert (await sendfd.arequest(sys.argv[1], data=b"4")).data == b"answer"
asyncio.run(main())
"""
    with sendfd.Inbox(users=[GUEST]) as inbox:
        sender = as_user(GUEST, code, inbox.address)
        for number in (b"1", b"2", b"3", b"4"):
            with inbox.recv(timeout=10) as parcel:
                assert parcel.data == number
                if parcel.wants_reply:
                    parcel.reply(data=b"answer")
        assert sender.wait() == 0


def test_an_address_is_text() -> None:
    with sendfd.Inbox(57) as inbox:
        address = inbox.address
        assert address.startswith("sendfd.1/")
        assert address.endswith("/57")
        sendfd.send(address, data=b"1")
        with sendfd.Outbox(address) as outbox:
            outbox.send(data=b"2")
        assert [inbox.recv(timeout=1).data for _ in range(2)] == [b"1", b"2"]
        asyncio.run(sendfd.asend(address, data=b"3"))
        assert inbox.recv(timeout=1).data == b"3"
    with pytest.raises(OSError, match="closed"):
        _ = inbox.address
    with pytest.raises(ConnectionRefusedError):
        sendfd.send(address, data=b"1")


@pytest.mark.parametrize("text", ["", "50", "sendfd.1/7", "sendfd.1/7/9"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(OSError, match="no address") as caught:
        sendfd.send(text)
    assert caught.value.errno == errno.EINVAL


def test_nobody_is_no_guest() -> None:
    with pytest.raises(OSError, match="EINVAL"):
        sendfd.Inbox(users=[65534])
    with pytest.raises(OSError, match="EINVAL"):
        sendfd.Inbox(groups=[65534])
    for bad, error in ((["root"], TypeError), ([-1], ValueError), ([True], TypeError)):
        with pytest.raises(error):
            sendfd.Inbox(users=bad)  # type: ignore[arg-type]


def test_in_a_directory(tmp_path: Path) -> None:
    with sendfd.Inbox(57, directory=tmp_path) as inbox:
        file = tmp_path / inbox.address.replace("/", ".")
        assert file.is_socket()
    assert not file.exists()
    with sendfd.Inbox(57, directory=""):
        assert not file.exists()
    with pytest.raises(FileNotFoundError):
        sendfd.Inbox(57, directory=os.fsencode(tmp_path / "nowhere"))
