"""Requests and their answers."""

from __future__ import annotations

import errno
import gc
import os
import resource
import signal
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable

import pytest

import sendfd
from conftest import content, pipe_with, wait_until_asleep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Child

ME = os.getpid()

Reply = Callable[[sendfd.Parcel], None]


@contextmanager
def answering(inbox: sendfd.Inbox, reply: Reply, times: int = 1) -> Iterator[None]:
    """What comes meanwhile is answered by another thread."""

    def answer() -> None:
        for _ in range(times):
            with inbox.recv(timeout=20) as parcel:
                reply(parcel)

    thread = threading.Thread(target=answer)
    thread.start()
    yield
    thread.join()


def test_a_descriptor_is_asked_for(inbox: sendfd.Inbox) -> None:
    def reply(parcel: sendfd.Parcel) -> None:
        assert (parcel.wants_reply, parcel.data, parcel.fds) == (True, b"the text, please", ())
        reading = pipe_with(b"here it is")
        parcel.reply(reading, data=b"text")
        os.close(reading)
        assert not parcel.wants_reply
        with pytest.raises(ValueError, match="no answer is awaited"):
            parcel.reply(data=b"twice")

    with (
        answering(inbox, reply),
        sendfd.request(ME, data=b"the text, please", timeout=20) as answer,
    ):
        assert (answer.data, answer.pid, answer.uid) == (b"text", ME, os.getuid())
        assert not answer.wants_reply
        assert content(answer.detach()[0]) == b"here it is"


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs os.pidfd_open")
def test_by_pidfd_and_with_descriptors(inbox: sendfd.Inbox) -> None:
    def swap(parcel: sendfd.Parcel) -> None:
        parcel.reply(*reversed(parcel.fds))

    with (
        open(os.pidfd_open(ME)) as pidfd,
        open(os.devnull) as null,
        answering(inbox, swap),
        sendfd.request(None, null, 0, pidfd=pidfd, timeout=20) as answer,
    ):
        assert len(answer) == 2
        assert os.path.sameopenfile(answer[1], null.fileno())


def test_the_largest_answer(inbox: sendfd.Inbox) -> None:
    data = os.urandom(sendfd.MAX_DATA)
    with (
        answering(inbox, lambda parcel: parcel.reply(*[0] * sendfd.MAX_FDS, data=data)),
        sendfd.request(ME, timeout=20) as answer,
    ):
        assert (len(answer), answer.data) == (sendfd.MAX_FDS, data)


def test_an_ordinary_parcel_wants_no_reply(inbox: sendfd.Inbox) -> None:
    sendfd.send(ME, 0)
    with inbox.recv(timeout=5) as parcel:
        assert not parcel.wants_reply
        with pytest.raises(ValueError, match="no answer is awaited"):
            parcel.reply()


def forget(parcel: sendfd.Parcel) -> None:
    del parcel


@pytest.mark.parametrize("end", [sendfd.Parcel.close, forget])
def test_one_that_is_not_answered(inbox: sendfd.Inbox, end: Reply) -> None:
    with answering(inbox, end), pytest.raises(ConnectionResetError, match="no answer"):
        sendfd.request(ME, 0)


def test_a_forgotten_one_is_closed_with_a_warning(inbox: sendfd.Inbox) -> None:
    with sendfd.Outbox(ME) as outbox:
        answer = outbox._ask()
        with pytest.warns(ResourceWarning, match=f"request from process {ME} was not answered"):
            inbox.recv(timeout=5)
            gc.collect()
        with pytest.raises(ConnectionResetError):
            answer.recv(timeout=5)
        answer.close()


def test_an_answer_later_and_by_another_thread(inbox: sendfd.Inbox) -> None:
    with sendfd.Outbox(ME) as outbox:
        answers: list[sendfd.Parcel] = []
        asking = threading.Thread(target=lambda: answers.append(outbox.request(data=b"slow")))
        asking.start()
        parcel = inbox.recv(timeout=20)
        assert asking.native_id is not None
        wait_until_asleep(asking.native_id)
        inbox.close()  # It takes no part in this.
        replying = threading.Thread(target=parcel.reply, args=(0,), kwargs={"data": b"done"})
        replying.start()
        replying.join()
        asking.join()
        with answers[0] as answer:
            assert (answer.data, len(answer)) == (b"done", 1)


def test_an_asker_that_has_gone(inbox: sendfd.Inbox) -> None:
    with sendfd.Outbox(ME) as outbox:
        with pytest.raises(TimeoutError):
            outbox.request(0, timeout=0.01)
        with pytest.raises(BlockingIOError):
            outbox.request(0, timeout=0)
        for _ in range(2):
            with inbox.recv(timeout=5) as parcel:
                assert parcel.wants_reply
                with pytest.raises(BrokenPipeError):
                    parcel.reply(0)


def test_a_reply_that_fails_may_be_tried_again(inbox: sendfd.Inbox) -> None:
    def reply(parcel: sendfd.Parcel) -> None:
        wrong: Any = "0"
        for fds, data, error in (
            ((1_000_000,), b"", errno.EBADF),
            ((), bytes(sendfd.MAX_DATA + 1), errno.EMSGSIZE),
            ((0,) * 253, b"", errno.EINVAL),
        ):
            with pytest.raises(OSError, match=errno.errorcode[error]) as caught:
                parcel.reply(*fds, data=data)
            assert caught.value.errno == error
        with pytest.raises(TypeError):
            parcel.reply(wrong)
        parcel.reply(data=b"at last")

    with answering(inbox, reply), sendfd.request(ME, timeout=20) as answer:
        assert answer.data == b"at last"


def test_an_answer_for_which_there_is_no_room_is_kept(inbox: sendfd.Inbox) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with sendfd.Outbox(ME) as outbox:
        with answering(inbox, lambda parcel: parcel.reply(*[0] * 100, data=b"kept")):
            resource.setrlimit(resource.RLIMIT_NOFILE, (60, limits[1]))
            try:
                with pytest.raises(OSError, match="EMFILE") as caught:
                    outbox.request(timeout=20)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        kept: Any = caught.value
        with kept.answer.recv(timeout=0) as answer:
            assert (len(answer), answer.data) == (100, b"kept")
        with pytest.raises(ConnectionResetError):
            kept.answer.recv(timeout=0)
        kept.answer.close()


def test_nobody_to_ask() -> None:
    with pytest.raises(ConnectionRefusedError):
        sendfd.request(ME, 0)
    with pytest.raises(ConnectionRefusedError):
        sendfd.request(ME, 0, timeout=5)
    with pytest.raises(TypeError, match="to or pidfd"):
        sendfd.request()  # type: ignore[call-overload]


ANSWERER = """
import sendfd, sys
with sendfd.Inbox() as inbox:
    print("ready", flush=True)
    parcel = inbox.recv()
    print("asked", flush=True)
    sys.stdin.readline()
    parcel.reply(data=b"never")
"""

ASKER = """
import sendfd, sys
try:
    sendfd.request(int(sys.argv[1]), 0)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_an_answerer_that_dies(child: Callable[..., Child]) -> None:
    answerer = child(ANSWERER)
    assert answerer.said() == "ready"
    errors: list[OSError] = []

    def ask() -> None:
        try:
            sendfd.request(answerer.pid, 0)
        except OSError as error:
            errors.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    assert answerer.said() == "asked"
    answerer.kill()
    asking.join()
    assert [type(error) for error in errors] == [ConnectionResetError]


def test_ctrl_c_reaches_who_asks(inbox: sendfd.Inbox, child: Callable[..., Child]) -> None:
    asker = child(ASKER, ME)
    with inbox.recv(timeout=20) as parcel:
        wait_until_asleep(asker.pid)
        asker.process.send_signal(signal.SIGINT)
        assert asker.said() == "interrupted"
        assert asker.ends() == 0
        with pytest.raises(BrokenPipeError):
            parcel.reply(0)


def test_many_threads_ask_through_one_outbox(inbox: sendfd.Inbox) -> None:
    each, many = 50, 8

    def ask(number: int) -> None:
        for i in range(each):
            data = b"%d %d" % (number, i)
            with outbox.request(data=data, timeout=20) as answer:
                assert answer.data == data
                good.append(data)

    good: list[bytes] = []

    def reply(parcel: sendfd.Parcel) -> None:
        parcel.reply(0, data=parcel.data)

    with sendfd.Outbox(ME) as outbox, answering(inbox, reply, each * many):
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(many)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(set(good)) == each * many


def test_pull_by_label(inbox: sendfd.Inbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        kept = {b"http": listener}

        def by_label(parcel: sendfd.Parcel) -> None:
            if parcel.data in kept:
                parcel.reply(kept[parcel.data])

        with answering(inbox, by_label, 2):
            answer = sendfd.request(ME, data=b"http", timeout=20)
            with answer, answer.socket() as pulled:
                assert pulled.getsockname() == listener.getsockname()
            with pytest.raises(ConnectionResetError):
                sendfd.request(ME, data=b"no such label", timeout=20)
