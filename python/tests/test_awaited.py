"""What of outbox and requests is awaited, on asyncio and on trio."""

from __future__ import annotations

import errno
import gc
import os
import resource
import threading
from typing import TYPE_CHECKING, Any, Callable

import pytest

import sendfd

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

    from conftest import Child

anyio: Any = pytest.importorskip("anyio")

ME = os.getpid()


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], Awaitable[None]]], None]:
    pytest.importorskip(request.param)

    def run(main: Callable[[], Awaitable[None]]) -> None:
        async def in_time() -> None:
            with anyio.fail_after(50):
                await main()

        anyio.run(in_time, backend=request.param)

    return run


Run = Callable[[Callable[[], "Awaitable[None]"]], None]


@pytest.fixture
def outbox(inbox: sendfd.Inbox) -> Iterator[sendfd.Outbox]:
    with sendfd.Outbox(ME) as outbox:
        outbox.send()
        sendfd.send(ME)
        for _ in range(2):
            inbox.recv(timeout=5).close()
        yield outbox


def all_descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def fill(send: Callable[..., None]) -> int:
    count = 0
    while True:
        try:
            send(data=b"full")
        except BlockingIOError:
            return count
        count += 1


@pytest.mark.parametrize("by", ["outbox", "pid"])
def test_asend_waits_for_room(
    run: Run, inbox: sendfd.Inbox, outbox: sendfd.Outbox, by: str
) -> None:
    async def main() -> None:
        before = all_descriptors()
        if by == "outbox":
            full = fill(outbox.send)
        else:
            full = fill(lambda **options: sendfd.send(ME, **options))

        async def send(number: int) -> None:
            data = b"%d" % number
            await (outbox.asend(0, data=data) if by == "outbox" else sendfd.asend(ME, 0, data=data))

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(send, number)
                await anyio.wait_all_tasks_blocked()
            for _ in range(full):
                assert inbox.recv(timeout=0).data == b"full"
            got = []
            async for parcel in inbox:
                with parcel:
                    got.append(int(parcel.data))
                if len(got) == 20:
                    break
        assert sorted(got) == list(range(20))
        if by == "outbox":
            assert got == list(range(20))
        assert all_descriptors() == before

    run(main)


def test_asend_that_is_cancelled_sends_nothing(
    run: Run, inbox: sendfd.Inbox, outbox: sendfd.Outbox
) -> None:
    async def main() -> None:
        full = fill(outbox.send) + fill(lambda **options: sendfd.send(ME, **options))
        for waiting in (outbox.asend(0), sendfd.asend(ME, 0)):
            with anyio.move_on_after(0.01) as scope:
                await waiting
            assert scope.cancel_called
        for _ in range(full):
            assert inbox.recv(timeout=0).data == b"full"
        with pytest.raises(BlockingIOError):
            inbox.recv(timeout=0)

    run(main)


def test_closing_wakes_who_waits_for_room(
    run: Run, inbox: sendfd.Inbox, outbox: sendfd.Outbox
) -> None:
    async def main() -> None:
        fill(outbox.send)
        errors: list[int | None] = []

        async def send() -> None:
            try:
                await outbox.asend(0)
            except OSError as error:
                errors.append(error.errno)

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(send)
            await anyio.wait_all_tasks_blocked()
            thread = threading.Thread(target=outbox.close)
            thread.start()
        thread.join()
        assert errors == [errno.EBADF] * 3

    run(main)


def test_many_wait_until_all_is_taken(run: Run, inbox: sendfd.Inbox, outbox: sendfd.Outbox) -> None:
    async def main() -> None:
        done: list[int] = []

        async def send_and_wait(number: int) -> None:
            await outbox.asend(0)
            await outbox.await_taken()
            done.append(number)

        await outbox.await_taken()  # Nothing was sent.
        before = all_descriptors()
        async with anyio.create_task_group() as group:
            for number in range(200):
                group.start_soon(send_and_wait, number)
            await anyio.wait_all_tasks_blocked()
            assert all_descriptors() < before + 10
            for _ in range(199):
                inbox.recv(timeout=0).close()
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            assert done == []
            inbox.recv(timeout=0).close()
        assert sorted(done) == list(range(200))
        assert all_descriptors() == before

    run(main)


def test_who_waits_is_not_kept_waiting_by_what_is_sent_later(
    run: Run, inbox: sendfd.Inbox, outbox: sendfd.Outbox
) -> None:
    async def main() -> None:
        done = 0

        async def wait() -> None:
            nonlocal done
            await outbox.await_taken()
            done += 1
            outbox.send(0)

        outbox.send(0)
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            inbox.recv(timeout=0).close()
        assert done == 10

    run(main)


def test_an_inbox_that_is_closed_with_something_untaken(
    run: Run, inbox: sendfd.Inbox, outbox: sendfd.Outbox
) -> None:
    async def main() -> None:
        failed = 0

        async def wait() -> None:
            nonlocal failed
            with pytest.raises(ConnectionResetError):
                await outbox.await_taken()
            failed += 1

        outbox.send(0)
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            with anyio.move_on_after(0.01) as scope:
                await outbox.await_taken()
            assert scope.cancel_called
            inbox.close()
        assert failed == 3
        with pytest.raises(BrokenPipeError):
            await outbox.asend(0)

    run(main)


def test_a_request(run: Run, inbox: sendfd.Inbox, outbox: sendfd.Outbox) -> None:
    async def main() -> None:
        async def answer(times: int) -> None:
            async for parcel in inbox:
                with parcel:
                    if parcel.data != b"forget":
                        parcel.reply(*parcel.fds, data=parcel.data)
                times -= 1
                if not times:
                    return

        async with anyio.create_task_group() as group:
            group.start_soon(answer, 4)
            with await outbox.arequest(0, data=b"question") as parcel:
                assert (len(parcel), parcel.data) == (1, b"question")
            with pytest.raises(ConnectionResetError):
                await outbox.arequest(data=b"forget")
            with await sendfd.arequest(ME, 0, data=b"by pid") as parcel:
                assert (len(parcel), parcel.data) == (1, b"by pid")
            with pytest.raises(ConnectionResetError):
                await sendfd.arequest(ME, 0, data=b"forget")
        with pytest.raises(ConnectionRefusedError):
            await sendfd.arequest(ME, signal=51)

    run(main)


def test_an_answer_for_which_there_is_no_room_is_kept(
    run: Run, inbox: sendfd.Inbox, outbox: sendfd.Outbox
) -> None:
    async def main() -> None:
        async def answer() -> None:
            with await inbox.__anext__() as parcel:
                parcel.reply(*[0] * 100)

        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        async with anyio.create_task_group() as group:
            group.start_soon(answer)
            resource.setrlimit(resource.RLIMIT_NOFILE, (60, limits[1]))
            try:
                with pytest.raises(OSError, match="EMFILE") as caught:
                    await outbox.arequest()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        kept: Any = caught.value
        with kept.answer.recv(timeout=0) as parcel:
            assert len(parcel) == 100
        kept.answer.close()

    run(main)


MANY = 1000

ANSWERER = """
import resource, sendfd, sys
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
with sendfd.Inbox() as inbox:
    print("ready", flush=True)
    parcels = [inbox.recv() for _ in range(int(sys.argv[1]))]
    print("asked", flush=True)
    sys.stdin.readline()
    gone = 0
    for parcel in reversed(parcels):
        try:
            parcel.reply(0, 1, data=parcel.data)
        except BrokenPipeError:
            gone += 1
        parcel.close()
    print(gone, flush=True)
"""


@pytest.fixture
def _many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 8192:
        pytest.skip("needs 8192 descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("_many_descriptors")
def test_a_thousand_requests_at_once(run: Run, child: Callable[..., Child]) -> None:
    answerer = child(ANSWERER, MANY)
    assert answerer.said() == "ready"

    async def main() -> None:
        answered: list[bytes] = []
        scopes = []
        before = all_descriptors()

        async def ask(number: int) -> None:
            with anyio.CancelScope() as scope:
                if number % 10 == 0:
                    scopes.append(scope)
                with await to_answerer.arequest(0, data=b"%d" % number) as answer:
                    assert len(answer) == 2
                    answered.append(answer.data)

        with sendfd.Outbox(answerer.pid) as to_answerer:
            async with anyio.create_task_group() as group:
                for number in range(MANY):
                    group.start_soon(ask, number)
                await anyio.wait_readable(answerer.process.stdout)
                assert answerer.said() == "asked"
                for scope in scopes:
                    scope.cancel()
                await anyio.wait_all_tasks_blocked()
                answerer.tell()
            await to_answerer.await_taken()
        expected = [b"%d" % number for number in range(MANY) if number % 10]
        assert sorted(answered) == sorted(expected)
        assert int(answerer.said()) == len(scopes) == MANY // 10
        assert all_descriptors() == before

    run(main)
    assert answerer.ends() == 0


LATE = """
import sendfd, sys
print("here", flush=True)
sys.stdin.readline()
with sendfd.Inbox() as inbox:
    inbox.recv().close()
"""


def test_aopen_waits_for_the_inbox(run: Run, child: Callable[..., Child]) -> None:
    receiver = child(LATE)
    assert receiver.said() == "here"

    async def main() -> None:
        with anyio.move_on_after(0.05) as scope:
            await sendfd.Outbox.aopen(receiver.pid)
        assert scope.cancel_called
        async with anyio.create_task_group() as group:

            async def open_and_send() -> None:
                with await sendfd.Outbox.aopen(receiver.pid) as outbox:
                    await outbox.asend(0)
                    await outbox.await_taken()

            group.start_soon(open_and_send)
            await anyio.sleep(0.05)
            receiver.tell()

    run(main)
    assert receiver.ends() == 0
    with pytest.raises(ProcessLookupError):
        run(lambda: sendfd.Outbox.aopen(receiver.pid))  # type: ignore[arg-type, return-value]


def test_a_forked_child_leaves_the_loop_of_its_parent_alone(
    run: Run,
    inbox: sendfd.Inbox,
    outbox: sendfd.Outbox,
    in_fork: Callable[[Callable[[], None]], int],
) -> None:
    async def main() -> None:
        full = fill(outbox.send)
        waiting = [outbox.asend(0), outbox.await_taken()]
        done = 0

        async def wait_for(number: int) -> None:
            nonlocal done
            await waiting[number]
            done += 1

        coroutines = [wait_for(number) for number in range(2)]

        async def drive(coroutine: Awaitable[None]) -> None:
            await coroutine

        def close_all() -> None:
            for coroutine in waiting:
                coroutine.close()

        async with anyio.create_task_group() as group:
            for coroutine in coroutines:
                group.start_soon(drive, coroutine)
            await anyio.wait_all_tasks_blocked()
            assert in_fork(close_all) == 0
            for _ in range(full):
                inbox.recv(timeout=0).close()
            with await inbox.__anext__():
                pass
        assert done == 2

    run(main)
