"""Waiting for a descriptor in what runs here, asyncio or trio, without importing either."""

from __future__ import annotations

import os
import sys
from collections import OrderedDict

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any, Callable, Protocol

    class _Pollable(Protocol):
        def fileno(self) -> int: ...

    class _Source(_Pollable, Protocol):
        @property
        def closed(self) -> bool: ...


# Other tasks get their turn after so many that did not have to wait.
_IN_A_ROW = 64

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

    def __init__(self, *, write: bool = False) -> None:
        self._write = write
        self._queues: dict[Any, _Queue] = {}

    async def wait(self, source: _Source, *, pause: float = 0) -> None:
        """Until the source polls ready, or wake_all() is called.

        With `pause`, not before that has passed; whoever waits behind has to wait so long, too.
        """
        await self._queue(source).wait(source, pause)

    def wake_all(self) -> None:
        """All that wait now, from whatever thread."""
        for queue in self._queues.copy().values():
            queue.release()

    def _queue(self, source: _Source) -> _Queue:
        for other in self._queues.copy().values():
            if other.loop.is_over():
                other.stop()
        loop = _running()
        if loop.runs not in self._queues:
            # Another thread may close the descriptor, and the number come to mean something else,
            # while the loop still watches it. The duplicate is closed by the loop's own thread.
            fd = os.dup(source.fileno())
            self._queues[loop.runs] = _Queue(loop, fd, self._write, self._queues)
        return self._queues[loop.runs]


class _Queue:
    """Those that wait in one loop. Lives as long as any does."""

    def __init__(
        self, loop: _Asyncio | _Trio, fd: int, write: bool, queues: dict[Any, _Queue]
    ) -> None:
        _duplicates.add(fd)
        self.loop = loop
        self._fd = fd
        self._write = write
        self._queues = queues
        self._pid = os.getpid()
        self._waiting: OrderedDict[Any, None] = OrderedDict()
        self._released: set[Any] = set()
        self._watch: Any = None

    async def wait(self, source: _Source, pause: float) -> None:
        place = self.loop.event()
        self._waiting[place] = None
        try:
            if next(iter(self._waiting)) is not place:
                await self.loop.wait(place)
            if pause:
                await self.loop.sleep(pause)
            if place not in self._released and not source.closed:
                self._watch = self.loop.event()
                await self.loop.ready(self._fd, self._write, self._watch)
        finally:
            # A forked child shares the loop's epoll set with its parent: nothing is done there.
            if self._pid == os.getpid():
                self._leave(place)

    def _leave(self, place: Any) -> None:
        del self._waiting[place]
        self._released.discard(place)
        if not self._waiting:
            self.stop()
        elif not self.loop.is_over():
            self.loop.set(next(iter(self._waiting)))

    def stop(self) -> None:
        """May be repeated."""
        if self._queues.get(self.loop.runs) is self:
            del self._queues[self.loop.runs]
        if self._fd in _duplicates:
            _duplicates.discard(self._fd)
            os.close(self._fd)
        self._fd = -1

    def release(self) -> None:
        """All of them, from whatever thread."""
        try:
            self.loop.soon(self._release)
        except RuntimeError:  # The loop has ended, too.
            self.stop()

    def _release(self) -> None:
        self._released.update(self._waiting)
        for place in list(self._waiting):
            self.loop.set(place)
        if self._fd >= 0 and self._watch is not None:
            self.loop.give_up(self._fd, self._watch)


class _Asyncio:
    """An event loop of asyncio, or one that is like it."""

    def __init__(self, loop: Any) -> None:
        self.runs = loop
        self._pid = os.getpid()

    def is_over(self) -> bool:
        return bool(self.runs.is_closed())

    def soon(self, call: Callable[[], None]) -> None:
        self.runs.call_soon_threadsafe(call)

    def event(self) -> Any:
        return self.runs.create_future()

    def set(self, event: Any) -> None:
        if not event.done():
            event.set_result(None)

    async def wait(self, event: Any) -> None:
        await event

    async def ready(self, fd: int, write: bool, given_up: Any) -> None:
        add, remove = (
            (self.runs.add_writer, self.runs.remove_writer)
            if write
            else (self.runs.add_reader, self.runs.remove_reader)
        )
        add(fd, self.set, given_up)
        try:
            await given_up
        finally:
            if self._pid == os.getpid() and not self.is_over():
                remove(fd)

    def give_up(self, fd: int, event: Any) -> None:
        del fd
        self.set(event)

    async def sleep(self, seconds: float) -> None:
        await _loaded("asyncio").sleep(seconds)

    async def checkpoint(self) -> None:
        await _loaded("asyncio").sleep(0)


class _Trio:
    """A run of trio, known by its token."""

    def __init__(self, token: Any) -> None:
        self.runs = token

    def is_over(self) -> bool:
        return False  # A run that ends cancels what waits in it.

    def soon(self, call: Callable[[], None]) -> None:
        self.runs.run_sync_soon(call)

    def event(self) -> Any:
        return _loaded("trio").Event()

    def set(self, event: Any) -> None:
        event.set()

    async def wait(self, event: Any) -> None:
        await event.wait()

    async def ready(self, fd: int, write: bool, given_up: Any) -> None:
        del given_up
        trio = _loaded("trio")
        wait = trio.lowlevel.wait_writable if write else trio.lowlevel.wait_readable
        try:  # noqa: SIM105 -- contextlib is large
            await wait(fd)
        except trio.ClosedResourceError:
            pass  # What give_up() does.

    def give_up(self, fd: int, event: Any) -> None:
        del event
        _loaded("trio").lowlevel.notify_closing(fd)

    async def sleep(self, seconds: float) -> None:
        await _loaded("trio").sleep(seconds)

    async def checkpoint(self) -> None:
        await _loaded("trio").lowlevel.checkpoint()


class Turns:
    """Lets other tasks run where much is there already, or where trio's users expect it."""

    def __init__(self) -> None:
        self._in_a_row = 0

    async def take(self) -> None:
        self._in_a_row += 1
        if self._in_a_row > _IN_A_ROW:
            self._in_a_row = 0
            await _running().checkpoint()
        elif "trio" in sys.modules:
            loop = _running()
            if isinstance(loop, _Trio):
                await loop.checkpoint()

    def have_waited(self) -> None:
        self._in_a_row = 0


async def readable(source: _Pollable) -> None:
    """Until it is, for one that nobody else closes meanwhile."""
    loop = _running()
    await loop.ready(source.fileno(), False, loop.event())


async def ready(fd: int, write: bool) -> None:
    """The same, for reading or writing."""
    loop = _running()
    await loop.ready(fd, write, loop.event())


async def sleep(seconds: float) -> None:
    await _running().sleep(seconds)


def _running() -> _Asyncio | _Trio:
    """What runs the calling coroutine."""
    # Another thread may be about to import one of them.
    asyncio, trio = _loaded("asyncio"), _loaded("trio")
    get_loop: Any = getattr(asyncio, "_get_running_loop", None)
    loop = get_loop and get_loop()
    # One of them may be the other's guest, so what counts is whose the task is.
    if asyncio and loop and asyncio.current_task():
        return _Asyncio(loop)
    lowlevel: Any = getattr(trio, "lowlevel", None)
    if hasattr(lowlevel, "current_trio_token"):
        try:
            lowlevel.current_task()
            return _Trio(lowlevel.current_trio_token())
        except RuntimeError:
            pass
    if loop:
        return _Asyncio(loop)
    raise RuntimeError("neither asyncio nor trio runs here")


def _loaded(name: str) -> Any:
    return sys.modules.get(name)
