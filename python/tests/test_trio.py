"""`async for parcel in inbox` under trio."""

from __future__ import annotations

import os
import select
import threading
from typing import TYPE_CHECKING, Any, Callable

import pytest

import sendfd

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from conftest import Child

trio = pytest.importorskip("trio")
pytest.importorskip("trio.testing")

ME = os.getpid()


def run(main: Callable[[sendfd.Inbox], Awaitable[None]]) -> None:
    async def with_inbox() -> None:
        with trio.fail_after(30), sendfd.Inbox() as inbox:
            await main(inbox)

    trio.run(with_inbox)


async def take(inbox: sendfd.Inbox) -> bytes:
    with await inbox.__anext__() as parcel:
        return parcel.data


async def until_waiting() -> None:
    await trio.testing.wait_all_tasks_blocked()


def inbox_has_mail(inbox: sendfd.Inbox) -> bool:
    return bool(select.select([inbox], [], [], 0)[0])


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


def test_many_tasks_are_served_in_their_order() -> None:
    async def main(inbox: sendfd.Inbox) -> None:
        served: list[tuple[int, bytes]] = []

        async def wait(number: int) -> None:
            served.append((number, await take(inbox)))

        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(wait, number)
                await until_waiting()
            for number in range(100):
                sendfd.send(ME, 0, data=b"%d" % number, timeout=20)
                while inbox_has_mail(inbox):
                    await trio.lowlevel.checkpoint()
        assert served == [(number, b"%d" % number) for number in range(100)]

    run(main)


def test_cancellation_loses_no_parcel() -> None:
    async def main(inbox: sendfd.Inbox) -> None:
        for i in range(50):
            got: list[bytes] = []
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:

                    async def wait(got: list[bytes] = got) -> None:
                        got.append(await take(inbox))

                    nursery.start_soon(wait)
                    await until_waiting()
                    sendfd.send(ME, 0, data=b"%d" % i)
                    # At various moments: before and after the loop has seen the mail.
                    for _ in range(i % 4):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()
            assert (got or [await take(inbox)]) == [b"%d" % i]

    run(main)


def test_one_that_is_cancelled_leaves_the_mail_to_the_other() -> None:
    async def main(inbox: sendfd.Inbox) -> None:
        got: list[bytes] = []

        async def wait_in(scope: Any) -> None:
            with scope:
                got.append(await take(inbox))

        async with trio.open_nursery() as nursery:
            scopes = [trio.CancelScope() for _ in range(3)]
            for scope in scopes:
                nursery.start_soon(wait_in, scope)
                await until_waiting()
            sendfd.send(ME, 0, data=b"for whom?")
            scopes[0].cancel()
            scopes[1].cancel()
        assert got == [b"for whom?"]

    run(main)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_closing_ends_the_iteration(elsewhere: bool) -> None:
    async def main(inbox: sendfd.Inbox) -> None:
        ended = 0

        async def iterate() -> None:
            nonlocal ended
            async for _ in inbox:
                raise AssertionError
            ended += 1

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(iterate)
            await until_waiting()
            if elsewhere:
                thread = threading.Thread(target=inbox.close)
                thread.start()
                thread.join()
            else:
                inbox.close()
        await iterate()
        assert ended == 4

    run(main)


def test_mail_without_end_lets_other_tasks_run_and_can_be_cancelled() -> None:
    async def main(inbox: sendfd.Inbox) -> None:
        with trio.move_on_after(0.05) as scope:
            sendfd.send(ME, 0)
            async for parcel in inbox:
                sendfd.send(ME, 0)  # There is always one more.
                parcel.close()
        assert scope.cancelled_caught

    run(main)


def test_a_forked_child_leaves_the_loop_of_its_parent_alone(
    in_fork: Callable[[Callable[[], None]], int],
) -> None:
    async def main(inbox: sendfd.Inbox) -> None:
        waiting = inbox.__anext__()
        got: list[sendfd.Parcel] = []

        async def wait() -> None:
            got.append(await waiting)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await until_waiting()
            task = next(iter(nursery.child_tasks))
            assert in_fork(task.coro.close) == 0
            sendfd.send(ME, 0)
        got[0].close()

    run(main)


AS_GUEST = """
import asyncio, os, sendfd, trio

async def take(inbox):
    with await inbox.__anext__() as parcel:
        return parcel.data

async def main():
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    with sendfd.Inbox() as inbox:
        trio.lowlevel.start_guest_run(
            take,
            inbox,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=lambda outcome: done.set_result(outcome.unwrap()),
            host_uses_signal_set_wakeup_fd=True,
        )
        hosts = asyncio.create_task(take(inbox))
        await asyncio.sleep(0.01)
        for data in (b"one", b"two"):
            sendfd.send(os.getpid(), 0, data=data)
        print(*sorted(await asyncio.wait_for(asyncio.gather(done, hosts), 20)))

asyncio.run(main())
"""


def test_trio_as_a_guest_of_asyncio(child: Callable[..., Child]) -> None:
    both = child(AS_GUEST)
    assert both.said() == "b'one' b'two'"
    assert both.ends() == 0
