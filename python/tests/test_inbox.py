"""sendfd.Inbox, opened and closed, without asyncio."""

from __future__ import annotations

import errno
import gc
import inspect
import os
import pydoc
import signal
import sys
import threading
from typing import Any, Callable

import pytest

import sendfd

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


def test_a_forgotten_one_is_closed_with_a_warning() -> None:
    inbox = sendfd.Inbox()
    with pytest.warns(ResourceWarning, match="unclosed <sendfd.Inbox signal=50"):
        del inbox
        gc.collect()
    with pytest.raises(ConnectionRefusedError):
        sendfd.send(ME, 0)


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
