"""What arrives: ownership of the descriptors, above all."""

from __future__ import annotations

import codecs
import contextlib
import gc
import io
import os
import pickle
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any, Callable

import pytest

import sendfd
from conftest import wait_until_asleep

if TYPE_CHECKING:
    from collections.abc import Iterator

ME = os.getpid()


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def received(inbox: sendfd.Inbox, *fds: int, data: bytes = b"") -> sendfd.Parcel:
    sendfd.send(ME, *(fds or (0,)), data=data)
    return inbox.recv(timeout=5)


def test_what_it_tells(inbox: sendfd.Inbox) -> None:
    with received(inbox, 0, 1, data=b"two") as parcel:
        assert parcel.fds[0] == parcel.fd
        assert len(parcel.fds) == 2
        assert parcel.data == b"two"
        assert (parcel.pid, parcel.uid, parcel.gid) == (ME, os.getuid(), os.getgid())
        assert parcel.signo == sendfd.SIGNO


def test_repr_says_what_is_in_it(inbox: sendfd.Inbox) -> None:
    with received(inbox, 0, data=b"two") as parcel:
        assert repr(parcel) == (
            f"<sendfd.Parcel fds=[{parcel.fd}] data=b'two' pid={ME} uid={os.getuid()} "
            f"gid={os.getgid()} signo=50>"
        )
    with received(inbox, data=bytes(1000)) as parcel:
        assert "data=<1000 bytes>" in repr(parcel)


def test_descriptors_are_the_lowest_and_not_inheritable(inbox: sendfd.Inbox) -> None:
    expected = os.dup(0)
    os.close(expected)
    with received(inbox) as parcel:
        assert parcel.fd == expected
        assert not os.get_inheritable(parcel.fd)


def test_close_and_with(inbox: sendfd.Inbox) -> None:
    with received(inbox, 0, 1) as parcel:
        fds = parcel.fds
        assert all(map(is_open, fds))
    assert not any(map(is_open, fds))
    parcel.close()
    assert parcel.fds == ()
    with pytest.raises(ValueError, match="no descriptor is left"):
        parcel.fd  # noqa: B018


def test_with_closes_after_an_exception(inbox: sendfd.Inbox) -> None:
    with pytest.raises(KeyError), received(inbox) as parcel:
        fd = parcel.fd
        raise KeyError
    assert not is_open(fd)


def test_detach(inbox: sendfd.Inbox) -> None:
    with received(inbox, 0, 1) as parcel:
        fds = parcel.fds
        assert parcel.detach() == list(fds)
        assert parcel.detach() == []
    for fd in fds:
        os.close(fd)


def test_socket(inbox: sendfd.Inbox) -> None:
    left, right = socket.socketpair()
    with left, right, received(inbox, right.fileno(), 0) as parcel:
        fd = parcel.fd
        with parcel.socket() as taken:
            assert taken.fileno() == fd
            assert taken.family == socket.AF_UNIX
            left.sendall(b"hi")
            assert taken.recv(2) == b"hi"
        assert len(parcel.fds) == 1


def test_sockets(inbox: sendfd.Inbox) -> None:
    left, right = socket.socketpair()
    with left, right, received(inbox, left.fileno(), right.fileno()) as parcel:
        fds = parcel.fds
        taken = parcel.sockets()
        assert [one.fileno() for one in taken] == list(fds)
        assert parcel.sockets() == []
        taken[0].sendall(b"hi")
        assert taken[1].recv(2) == b"hi"
        for one in taken:
            one.close()


def test_one_that_is_no_socket_keeps_all_in_the_parcel(inbox: sendfd.Inbox) -> None:
    left, right = socket.socketpair()
    with left, right, received(inbox, left.fileno(), 0, right.fileno()) as parcel:
        fds = parcel.fds
        with pytest.raises(OSError, match="socket"), open(os.devnull) as file:
            os.dup2(file.fileno(), fds[1])
            parcel.sockets()
        gc.collect()
        assert parcel.fds == fds
        assert all(map(is_open, fds))


def test_it_is_a_sequence_of_descriptors(inbox: sendfd.Inbox) -> None:
    with received(inbox, 0, 1, 2) as parcel:
        first, *rest = parcel
        assert (first, *rest) == parcel.fds
        assert len(parcel) == 3
        assert (parcel[0], parcel[-1], parcel[1:]) == (first, rest[-1], tuple(rest))
        assert first in parcel
        assert list(reversed(parcel)) == list(reversed(parcel.fds))
        with pytest.raises(IndexError):
            parcel[3]
    assert len(parcel) == 0
    assert parcel, "one that is empty is there all the same"


def test_what_is_no_socket_stays(inbox: sendfd.Inbox) -> None:
    with open(os.devnull) as file, received(inbox, file.fileno()) as parcel:
        with pytest.raises(OSError, match="non-socket"):
            parcel.socket()
        assert is_open(parcel.fd)


def test_open(inbox: sendfd.Inbox) -> None:
    reading, writing = os.pipe()
    with received(inbox, reading, writing) as parcel:
        os.close(reading)
        os.close(writing)
        with parcel.open("r", encoding="utf-8", newline="") as source, parcel.open("wb", 0) as sink:
            assert isinstance(source, io.TextIOWrapper)
            assert isinstance(sink, io.FileIO)
            sink.write("grüße\r\n".encode())
            assert source.readline() == "grüße\r\n"
    assert parcel.fds == ()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("rw",), ValueError),
        ((3,), TypeError),
        (("r", -1, "no such encoding"), LookupError),
        (("r+b",), OSError),  # a pipe cannot seek
    ],
)
def test_open_that_fails_keeps_the_descriptor(
    inbox: sendfd.Inbox, arguments: tuple[str, ...], error: type[Exception]
) -> None:
    reading, writing = os.pipe()
    with received(inbox, reading) as parcel:
        os.close(reading)
        os.close(writing)
        with pytest.raises(error):
            parcel.open(*arguments)  # type: ignore[call-overload]
        assert is_open(parcel.fd)


class SecondFails(codecs.IncrementalDecoder):
    """Like one that is interrupted at its second use."""

    made = 0

    def __init__(self, errors: str = "strict") -> None:
        super().__init__(errors)
        SecondFails.made += 1
        if SecondFails.made == 2:
            raise KeyboardInterrupt


def second_fails(name: str) -> codecs.CodecInfo | None:
    if name != "second_fails":
        return None
    ascii_codec = codecs.lookup("ascii")
    return codecs.CodecInfo(
        ascii_codec.encode, ascii_codec.decode, incrementaldecoder=SecondFails, name=name
    )


def test_open_that_is_interrupted_closes_once(inbox: sendfd.Inbox) -> None:
    codecs.register(second_fails)
    with open(os.devnull) as file, received(inbox, file.fileno()) as parcel:
        fd = parcel.fd
        with pytest.raises(KeyboardInterrupt):
            parcel.open(encoding="second_fails")
        assert parcel.fds == ()
        assert not is_open(fd)
        os.dup2(0, fd)  # The number belongs to somebody else now.
    assert is_open(fd)
    os.close(fd)


def test_socket_that_is_interrupted_keeps_the_descriptor(
    inbox: sendfd.Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = socket.socket.__init__

    def interrupted(self: socket.socket, *arguments: Any, **options: Any) -> None:
        make(self, *arguments, **options)
        raise KeyboardInterrupt

    left, right = socket.socketpair()
    with left, right, received(inbox, right.fileno()) as parcel:
        fd = parcel.fd
        with monkeypatch.context() as patched:
            patched.setattr(socket.socket, "__init__", interrupted)
            with pytest.raises(KeyboardInterrupt):
                parcel.socket()
        gc.collect()
        assert parcel.fd == fd
        with parcel.socket() as taken:
            assert taken.fileno() == fd
            assert taken.family == socket.AF_UNIX


def close(inbox: sendfd.Inbox) -> None:
    inbox.recv(timeout=5).close()


def leave_the_with(inbox: sendfd.Inbox) -> None:
    with inbox.recv(timeout=5):
        pass


def forget(inbox: sendfd.Inbox) -> None:
    with pytest.warns(ResourceWarning):
        inbox.recv(timeout=5)


@contextlib.contextmanager
def in_the_inbox_one_that_lingers(inbox: sendfd.Inbox) -> Iterator[socket.socket]:
    """A connection whose last close waits until its peer, which this gives, has taken all of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        lingering, _ = listener.accept()
        lingering.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 300))
        lingering.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                lingering.send(bytes(1 << 20))
        lingering.setblocking(True)
        sendfd.send(ME, lingering)
        lingering.close()
        with peer:
            yield peer


@pytest.mark.parametrize("end", [close, leave_the_with, forget])
def test_other_threads_run_while_one_closes(end: Callable[[sendfd.Inbox], None]) -> None:
    with sendfd.Inbox() as inbox, in_the_inbox_one_that_lingers(inbox) as peer:
        closing = threading.Thread(target=end, args=(inbox,))
        closing.start()
        assert closing.native_id is not None
        wait_until_asleep(closing.native_id)
        assert closing.is_alive()
        peer.close()
        closing.join()


def test_closing_an_inbox_does_not_wait_for_what_is_queued() -> None:
    with sendfd.Inbox() as inbox, in_the_inbox_one_that_lingers(inbox) as peer:
        inbox.close()
        # Nothing had been read until now.
        peer.settimeout(20)
        assert len(peer.recv(1)) == 1


def test_nothing_is_left_to_take(inbox: sendfd.Inbox) -> None:
    parcel = received(inbox)
    parcel.close()
    with pytest.raises(ValueError, match="no descriptor is left"):
        parcel.socket()
    with pytest.raises(ValueError, match="no descriptor is left"):
        parcel.open()


def test_a_forgotten_one_is_closed_with_a_warning(inbox: sendfd.Inbox) -> None:
    parcel = received(inbox)
    fd = parcel.fd
    with pytest.warns(ResourceWarning, match=rf"\[{fd}\] of a parcel from process {ME}"):
        del parcel
        gc.collect()
    assert not is_open(fd)


def test_one_that_goes_because_of_an_exception(inbox: sendfd.Inbox) -> None:
    called_wrongly: Any = len
    with pytest.warns(ResourceWarning), pytest.raises(TypeError, match="exactly one argument"):
        called_wrongly(received(inbox), 1)
    with pytest.warns(ResourceWarning), pytest.raises(AttributeError, match="no_such"):
        received(inbox).no_such  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.filterwarnings("error")
def test_one_that_was_seen_to_gives_no_warning(inbox: sendfd.Inbox) -> None:
    parcel = received(inbox)
    parcel.close()
    del parcel
    for fd in received(inbox).detach():
        os.close(fd)
    gc.collect()


def test_it_is_taken_once_by_many_threads(inbox: sendfd.Inbox) -> None:
    parcel = received(inbox, *[0] * 200)
    fds = sorted(parcel.fds)
    taken: list[int] = []
    threads = [threading.Thread(target=lambda: taken.extend(parcel.detach())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == fds
    for fd in fds:
        os.close(fd)


def test_it_cannot_be_made_copied_or_pickled(inbox: sendfd.Inbox) -> None:
    make: Callable[[], object] = sendfd.Parcel
    with pytest.raises(TypeError):
        make()
    with received(inbox) as parcel, pytest.raises(TypeError):
        pickle.dumps(parcel)
