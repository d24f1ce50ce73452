"""`async for parcel in inbox`."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import resource
import select
import threading
from typing import TYPE_CHECKING, Callable

import pytest

import sendfd
from conftest import open_descriptors

if TYPE_CHECKING:
    from collections.abc import Coroutine

ME = os.getpid()


def run(main: Callable[[sendfd.Inbox], Coroutine[None, None, None]]) -> None:
    async def with_inbox() -> None:
        with sendfd.Inbox() as inbox:
            await asyncio.wait_for(main(inbox), timeout=30)

    asyncio.run(with_inbox())


async def take(inbox: sendfd.Inbox) -> bytes:
    with await inbox.__anext__() as parcel:
        return parcel.data


async def until_waiting() -> None:
    """Every other task has come as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_parcels_come_in_order() -> None:
    async def main(inbox: sendfd.Inbox) -> None:
        for i in range(100):
            sendfd.send(ME, 0, data=b"%d" % i)
        got = []
        async for parcel in inbox:
            with parcel:
                got.append(int(parcel.data))
            if len(got) == 100:
                break
        assert got == list(range(100))

    run(main)


def test_it_waits_for_what_is_sent_later() -> None:
    async def main(inbox: sendfd.Inbox) -> None:
        for i in range(20):
            task = asyncio.create_task(take(inbox))
            await until_waiting()
            assert not task.done()
            sendfd.send(ME, 0, data=b"%d" % i)
            assert await task == b"%d" % i

    run(main)


def test_two_tasks_share_it() -> None:
    async def main(inbox: sendfd.Inbox) -> None:
        async def collect() -> list[bytes]:
            got = []
            async for parcel in inbox:
                with parcel:
                    got.append(parcel.data)
            return got

        tasks = [asyncio.create_task(collect()) for _ in range(2)]
        sent = [b"%d" % i for i in range(200)]
        for data in sent:
            await until_waiting()
            sendfd.send(ME, 0, data=data)
        while inbox_has_mail(inbox):
            await asyncio.sleep(0)
        await until_waiting()
        inbox.close()
        got = [data for part in await asyncio.gather(*tasks) for data in part]
        assert sorted(got) == sorted(sent)

    run(main)


def inbox_has_mail(inbox: sendfd.Inbox) -> bool:
    return bool(select.select([inbox], [], [], 0)[0])


def test_cancellation_loses_no_parcel() -> None:
    async def main(inbox: sendfd.Inbox) -> None:
        for i in range(50):
            task = asyncio.create_task(take(inbox))
            await until_waiting()
            sendfd.send(ME, 0, data=b"%d" % i)
            # At various moments: before and after the loop has seen the mail.
            for _ in range(i % 5):
                await asyncio.sleep(0)
            task.cancel()
            try:
                got = await task
            except asyncio.CancelledError:
                got = await take(inbox)
            assert got == b"%d" % i

    run(main)


def test_one_that_is_cancelled_leaves_the_mail_to_the_other() -> None:
    async def main(inbox: sendfd.Inbox) -> None:
        first, second = (asyncio.create_task(take(inbox)) for _ in range(2))
        await until_waiting()
        sendfd.send(ME, 0, data=b"for whom?")
        first.cancel()
        assert await second == b"for whom?"
        with pytest.raises(asyncio.CancelledError):
            await first

    run(main)


def test_mail_without_end_lets_other_tasks_run() -> None:
    async def main(inbox: sendfd.Inbox) -> None:
        other = asyncio.create_task(until_waiting())
        sendfd.send(ME, 0)
        async for parcel in inbox:
            with parcel:
                if other.done():
                    break
                sendfd.send(ME, 0)  # There is always one more.

    run(main)


def test_closing_ends_the_iteration() -> None:
    async def main(inbox: sendfd.Inbox) -> None:
        async def iterate() -> str:
            async for _ in inbox:
                raise AssertionError
            return "ended"

        tasks = [asyncio.create_task(iterate()) for _ in range(3)]
        await until_waiting()
        inbox.close()
        assert await asyncio.gather(*tasks) == ["ended"] * 3
        assert await iterate() == "ended"

    run(main)


def test_init_that_is_refused_leaves_who_waits_alone() -> None:
    async def main(inbox: sendfd.Inbox) -> None:
        tasks = [asyncio.create_task(take(inbox)) for _ in range(2)]
        await until_waiting()
        with pytest.raises(ValueError, match="has been opened"):
            inbox.__init__()  # type: ignore[misc]
        sendfd.send(ME, 0, data=b"first")
        assert await tasks[0] == b"first"
        inbox.close()
        with pytest.raises(StopAsyncIteration):
            await tasks[1]

    run(main)


def test_closing_from_another_thread_ends_the_iteration() -> None:
    async def main(inbox: sendfd.Inbox) -> None:
        task = asyncio.create_task(iterate(inbox))
        await until_waiting()
        thread = threading.Thread(target=inbox.close)
        thread.start()
        await task
        thread.join()

    async def iterate(inbox: sendfd.Inbox) -> None:
        async for _ in inbox:
            raise AssertionError

    run(main)


def test_loops_in_several_threads() -> None:
    each = 50
    got: list[bytes] = []
    with sendfd.Inbox() as inbox:

        async def collect() -> None:
            async for parcel in inbox:
                with parcel:
                    got.append(parcel.data)
                if len(got) == 2 * each:
                    inbox.close()

        threads = [threading.Thread(target=lambda: asyncio.run(collect())) for _ in range(2)]
        for thread in threads:
            thread.start()
        for i in range(2 * each):
            sendfd.send(ME, 0, data=b"%d" % i, timeout=20)
        for thread in threads:
            thread.join()
    assert sorted(got) == sorted(b"%d" % i for i in range(2 * each))


def test_one_inbox_outlives_many_loops() -> None:
    with sendfd.Inbox() as inbox:
        for _ in range(10):

            async def main() -> None:
                task = asyncio.create_task(take(inbox))
                await until_waiting()
                sendfd.send(ME, 0, data=b"x")
                assert await task == b"x"
                late = asyncio.create_task(take(inbox))
                await until_waiting()
                late.cancel()

            asyncio.run(main())


@pytest.mark.parametrize("and_then", ["go on in another", "close"])
def test_a_loop_that_is_closed_while_a_task_waits(and_then: str) -> None:
    logged: list[str] = []

    def leave_one_waiting() -> None:
        with sendfd.Inbox() as inbox:
            before = open_descriptors()
            loop = asyncio.new_event_loop()
            loop.set_exception_handler(lambda _, context: logged.append(context["message"]))
            task = loop.create_task(take(inbox))
            loop.run_until_complete(until_waiting())
            loop.close()
            if and_then == "close":
                inbox.close()
                assert open_descriptors() < before
            else:
                run_another(inbox)
                assert open_descriptors() == before
            assert not task.done()

    leave_one_waiting()
    gc.collect()
    assert logged == ["Task was destroyed but it is pending!"]


def run_another(inbox: sendfd.Inbox) -> None:
    async def main() -> None:
        task = asyncio.create_task(take(inbox))
        await until_waiting()
        sendfd.send(ME, 0, data=b"another")
        assert await task == b"another"

    asyncio.run(main())


def test_an_error_reaches_the_task() -> None:

    async def main(inbox: sendfd.Inbox) -> None:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        sendfd.send(ME, *[0] * 100)
        resource.setrlimit(resource.RLIMIT_NOFILE, (60, limits[1]))
        try:
            with pytest.raises(OSError, match="EMFILE"):
                await take(inbox)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        await take(inbox)

    run(main)


def test_a_full_table_is_not_told_of_all_the_time() -> None:
    async def main(inbox: sendfd.Inbox) -> None:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        sendfd.send(ME, *[0] * 100, data=b"kept")
        resource.setrlimit(resource.RLIMIT_NOFILE, (60, limits[1]))
        try:
            with pytest.raises(OSError, match="EMFILE"):
                await take(inbox)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(take(inbox), 0.3)
            waiting = asyncio.create_task(take(inbox))
            await asyncio.sleep(0.1)
            assert not waiting.done()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert await waiting == b"kept"

    run(main)


class Counting(sendfd.Inbox):
    """Counts how often it was looked into in vain."""

    in_vain = 0

    def recv(self, timeout: float | None = None) -> sendfd.Parcel:
        try:
            return super().recv(timeout)
        except OSError:
            self.in_vain += 1
            raise


def test_many_that_wait_for_room_look_for_it_in_turns() -> None:
    many = 200

    async def main() -> None:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        with Counting() as inbox:
            tasks = [asyncio.create_task(take(inbox)) for _ in range(many)]
            await until_waiting()
            sendfd.send(ME, *[0] * 100, data=b"kept")
            resource.setrlimit(resource.RLIMIT_NOFILE, (60, limits[1]))
            try:
                await asyncio.sleep(0.5)
                # Once when they came, once for the parcel, and then twenty times a second.
                assert inbox.in_vain <= 2 * many + 15
                failed = [task for task in tasks if task.done()]
                assert [type(task.exception()) for task in failed] == [OSError]
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            done, _ = await asyncio.wait(
                set(tasks) - set(failed), return_when=asyncio.FIRST_COMPLETED, timeout=10
            )
            assert [task.result() for task in done] == [b"kept"]
            inbox.close()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(asyncio.wait_for(main(), timeout=30))


def test_arecv() -> None:
    async def main(inbox: sendfd.Inbox) -> None:
        task = asyncio.create_task(inbox.arecv())
        await until_waiting()
        sendfd.send(ME, 0, data=b"one")
        with await task as parcel:
            assert parcel.data == b"one"
        task = asyncio.create_task(inbox.arecv())
        await until_waiting()
        inbox.close()
        with pytest.raises(OSError, match="closed") as caught:
            await task
        assert caught.value.errno == errno.EBADF

    run(main)


@pytest.mark.parametrize("at_once", [1, 10, 100])
def test_a_parcel_wakes_one_of_many_in_their_order(at_once: int) -> None:
    many = 300

    async def main() -> None:
        served: list[int] = []

        async def wait(number: int) -> None:
            with await inbox.__anext__():
                served.append(number)

        with Counting() as inbox:
            tasks = [asyncio.create_task(wait(number)) for number in range(many)]
            await until_waiting()
            for _ in range(0, many, at_once):
                for _ in range(at_once):
                    sendfd.send(ME, 0, timeout=20)
                while inbox_has_mail(inbox):
                    await asyncio.sleep(0)
            await asyncio.gather(*tasks)
            assert served == list(range(many))
            # Once by each, when it came.
            assert inbox.in_vain <= many + len(served)

    asyncio.run(asyncio.wait_for(main(), timeout=30))


def test_many_that_are_cancelled_leave_the_mail_to_the_last() -> None:
    async def main(inbox: sendfd.Inbox) -> None:
        tasks = [asyncio.create_task(take(inbox)) for _ in range(200)]
        await until_waiting()
        sendfd.send(ME, 0, data=b"for the last")
        for task in tasks[:-1]:
            task.cancel()
        assert await tasks[-1] == b"for the last"

    run(main)


def test_a_forked_child_leaves_the_loop_of_its_parent_alone(
    in_fork: Callable[[Callable[[], None]], int],
) -> None:
    async def main(inbox: sendfd.Inbox) -> None:
        waiting = [take(inbox) for _ in range(3)]
        tasks = [asyncio.create_task(coroutine) for coroutine in waiting]
        await until_waiting()

        def close_all() -> None:
            for coroutine in waiting:
                coroutine.close()

        assert in_fork(close_all) == 0
        for data in (b"first", b"second", b"third"):
            sendfd.send(ME, 0, data=data)
        got = await asyncio.wait_for(asyncio.gather(*tasks), 10)
        assert got == [b"first", b"second", b"third"]

    run(main)


def test_no_loop_is_running(inbox: sendfd.Inbox) -> None:
    waiting = inbox.__anext__()
    with pytest.raises(RuntimeError, match="neither asyncio nor trio"):
        waiting.send(None)


def test_with_signals() -> None:
    async def main() -> None:
        with sendfd.Inbox(signals=True) as inbox:
            task = asyncio.create_task(take(inbox))
            await until_waiting()
            sendfd.send(ME, 0, data=b"rung")
            assert await asyncio.wait_for(task, 10) == b"rung"

    asyncio.run(main())
