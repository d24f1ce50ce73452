"""Waiting for a descriptor in what runs here, asyncio or trio, without importing either."""

from __future__ import annotations

import os
import sys
from collections import OrderedDict

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any, Callable, Protocol

    class _Source(Protocol):
        @property
        def closed(self) -> bool: ...
        def fileno(self) -> int: ...


# Duplicates that event loops of this process watch.
_duplicates: set[int] = set()


def _after_fork_in_child() -> None:
    while _duplicates:
        os.close(_duplicates.pop())


os.register_at_fork(after_in_child=_after_fork_in_child)


class Waiters:
    """Who waits for one descriptor, in whatever loops and threads.

    In each loop the first of them watches it, and the others wait for their turn. So one that is
    ready wakes one, and one that is cancelled passes the turn on. Nothing here takes a lock: a loop
    changes its own queue alone, and collecting garbage or a signal handler may come in anywhere.
    """

    def __init__(self) -> None:
        self._queues: dict[Any, _Queue] = {}

    async def wait(self, source: _Source) -> None:
        """Until the source polls readable, or end() is called."""
        await self._queue(source).wait(source)

    def end(self) -> None:
        """Wakes all, from whatever thread. The source has to be closed already."""
        for queue in self._queues.copy().values():
            queue.end()

    def _queue(self, source: _Source) -> _Queue:
        for other in self._queues.copy().values():
            if other.is_over():
                other.stop()
        kind, runs = _running()
        if runs not in self._queues:
            # Another thread may close the descriptor, and the number come to mean something else,
            # while the loop still watches it. The duplicate is closed by the loop's own thread.
            self._queues[runs] = kind(runs, os.dup(source.fileno()), self._queues)
        return self._queues[runs]


class _Queue:
    """Those that wait in one loop. Lives as long as any does."""

    def __init__(self, runs: Any, fd: int, queues: dict[Any, _Queue]) -> None:
        _duplicates.add(fd)
        self._runs = runs
        self._fd = fd
        self._queues = queues
        self._pid = os.getpid()
        self._waiting: OrderedDict[Any, None] = OrderedDict()

    async def wait(self, source: _Source) -> None:
        place = self._place()
        self._waiting[place] = None
        try:
            if next(iter(self._waiting)) is not place:
                await self._turn(place)
            if not source.closed:
                await self._readable()
        finally:
            # A forked child shares the loop's epoll set with its parent: nothing is done there.
            if self._pid == os.getpid():
                self._leave(place)

    def _leave(self, place: Any) -> None:
        del self._waiting[place]
        if not self._waiting:
            self.stop()
        elif not self.is_over():
            self._wake(next(iter(self._waiting)))

    def stop(self) -> None:
        """May be repeated."""
        if self._queues.get(self._runs) is self:
            del self._queues[self._runs]
        if self._fd in _duplicates:
            _duplicates.discard(self._fd)
            os.close(self._fd)
        self._fd = -1

    def end(self) -> None:
        try:
            self._soon(self._wake_all)
        except RuntimeError:  # The loop has ended, too.
            self.stop()

    def _wake_all(self) -> None:
        for place in list(self._waiting):
            self._wake(place)
        self._end_watch()

    def is_over(self) -> bool:
        raise NotImplementedError

    def _soon(self, call: Callable[[], None]) -> None:
        raise NotImplementedError

    def _place(self) -> Any:
        raise NotImplementedError

    async def _turn(self, place: Any) -> None:
        raise NotImplementedError

    def _wake(self, place: Any) -> None:
        raise NotImplementedError

    async def _readable(self) -> None:
        raise NotImplementedError

    def _end_watch(self) -> None:
        raise NotImplementedError


class _Asyncio(_Queue):
    _watch: Any = None

    def is_over(self) -> bool:
        return bool(self._runs.is_closed())

    def _soon(self, call: Callable[[], None]) -> None:
        self._runs.call_soon_threadsafe(call)

    def _place(self) -> Any:
        return self._runs.create_future()

    async def _turn(self, place: Any) -> None:
        await place

    def _wake(self, place: Any) -> None:
        if not place.done():
            place.set_result(None)

    async def _readable(self) -> None:
        self._watch = self._runs.create_future()
        self._runs.add_reader(self._fd, self._end_watch)
        try:
            await self._watch
        finally:
            if self._pid == os.getpid() and not self.is_over():
                self._runs.remove_reader(self._fd)

    def _end_watch(self) -> None:
        if self._watch is not None:
            self._wake(self._watch)


class _Trio(_Queue):
    def is_over(self) -> bool:
        return False  # A run that ends cancels what waits in it.

    def _soon(self, call: Callable[[], None]) -> None:
        self._runs.run_sync_soon(call)

    def _place(self) -> Any:
        return _loaded("trio").Event()

    async def _turn(self, place: Any) -> None:
        await place.wait()

    def _wake(self, place: Any) -> None:
        place.set()

    async def _readable(self) -> None:
        trio = _loaded("trio")
        try:  # noqa: SIM105 -- contextlib is large
            await trio.lowlevel.wait_readable(self._fd)
        except trio.ClosedResourceError:
            pass  # What _end_watch() does.

    def _end_watch(self) -> None:
        if self._fd >= 0:
            _loaded("trio").lowlevel.notify_closing(self._fd)


async def give_way(now: bool) -> None:
    """Lets other tasks run where it is time, or where the loop's users expect it of every call."""
    if now or "trio" in sys.modules:
        kind, _ = _running()
        if kind is _Trio:
            await _loaded("trio").lowlevel.checkpoint()
        elif now:
            await _loaded("asyncio").sleep(0)


async def sleep(seconds: float) -> None:
    kind, _ = _running()
    await _loaded("trio" if kind is _Trio else "asyncio").sleep(seconds)


def _running() -> tuple[type[_Queue], Any]:
    """What runs the calling coroutine: an event loop of asyncio, or a token of trio."""
    asyncio, trio = _loaded("asyncio"), _loaded("trio")
    loop = asyncio and asyncio._get_running_loop()
    # One of them may be the other's guest, so what counts is whose the task is.
    if loop and asyncio.current_task():
        return _Asyncio, loop
    if trio:
        try:
            trio.lowlevel.current_task()
            return _Trio, trio.lowlevel.current_trio_token()
        except RuntimeError:
            pass
    if loop:
        return _Asyncio, loop
    raise RuntimeError("neither asyncio nor trio runs here")


def _loaded(name: str) -> Any:
    return sys.modules.get(name)
