"""`async for parcel in inbox` in loops that others have made."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any, Callable

import pytest

import sendfd

if TYPE_CHECKING:
    from collections.abc import Coroutine

ME = os.getpid()
MANY = 20

with contextlib.suppress(ImportError):
    import uvloop

    uvloop.new_event_loop().close()  # libuv has a pair of descriptors that stays.

Main = Callable[[], "Coroutine[None, None, None]"]


def in_uvloop(main: Main) -> None:
    pytest.importorskip("uvloop")
    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


def in_tornado(main: Main) -> None:
    ioloop = pytest.importorskip("tornado.ioloop")
    loop = ioloop.IOLoop(make_current=False)
    try:
        loop.run_sync(main, timeout=30)
    finally:
        loop.close(all_fds=True)


@pytest.mark.parametrize("run", [in_uvloop, in_tornado])
def test_a_loop_on_asyncio(run: Callable[[Main], None]) -> None:
    async def take() -> bytes:
        with await inbox.__anext__() as parcel:
            return parcel.data

    async def iterate() -> None:
        async for _ in inbox:
            raise AssertionError

    async def main() -> None:
        tasks = [asyncio.create_task(take()) for _ in range(MANY)]
        await asyncio.sleep(0.01)
        for task in tasks[::2]:
            task.cancel()
        for i in range(MANY // 2):
            sendfd.send(ME, 0, data=b"%d" % i)
        got = await asyncio.wait_for(asyncio.gather(*tasks[1::2]), 20)
        assert got == [b"%d" % i for i in range(MANY // 2)]
        iterating = asyncio.create_task(iterate())
        await asyncio.sleep(0.01)
        thread = threading.Thread(target=inbox.close)
        thread.start()
        await asyncio.wait_for(iterating, 20)
        thread.join()

    with sendfd.Inbox() as inbox:
        run(main)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_anyio(backend: str) -> None:
    anyio: Any = pytest.importorskip("anyio")
    pytest.importorskip(backend)

    async def main() -> None:
        got: list[bytes] = []

        async def take() -> None:
            with await inbox.__anext__() as parcel:
                got.append(parcel.data)

        async def iterate() -> None:
            async for _ in inbox:
                raise AssertionError

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                for _ in range(MANY):
                    group.start_soon(take)
                await anyio.wait_all_tasks_blocked()
                for i in range(MANY):
                    sendfd.send(ME, 0, data=b"%d" % i)
            assert got == [b"%d" % i for i in range(MANY)]
            with anyio.move_on_after(0.01) as scope:
                await take()
            assert scope.cancel_called
            sendfd.send(ME, 0, data=b"afterwards")
            await take()
            assert got[MANY:] == [b"afterwards"]
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(iterate)
                await anyio.wait_all_tasks_blocked()
                inbox.close()

    with sendfd.Inbox() as inbox:
        anyio.run(main, backend=backend)
