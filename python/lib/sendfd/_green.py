"""Waiting in a thread that gevent or eventlet runs, so that other greenlets run meanwhile.

Called where a wait begins and one of the two has been imported. All give False where neither runs
the calling thread: then there is nobody else to run.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any, Callable

    # Waits so many seconds for the descriptor, if there is one, to be ready: to read, or to write.
    _Wait = Callable[[int, bool, "float | None"], None]

_LOOK_AGAIN = 0.01

# Those that wait for one descriptor, in one hub: whose turn it is, and how many they are.
_turns: dict[tuple[Any, int, bool], list[Any]] = {}


def wait(fd: int, write: bool, timeout: float | None) -> bool:
    """One after the other, for what comes is for one alone."""
    hub, wait, semaphore = _running()
    if hub is None:
        return False
    key = (hub, fd, write)
    turn = _turns.setdefault(key, [semaphore(), 0])
    turn[1] += 1
    try:
        if turn[0].acquire(timeout=timeout):
            try:
                wait(fd, write, timeout)
            finally:
                turn[0].release()
    finally:
        turn[1] -= 1
        if turn[1] == 0:
            del _turns[key]
    return True


def look_again(timeout: float | None) -> bool:
    """After a while, for what cannot be waited for."""
    hub, sleep, _ = _running()
    if hub is None:
        return False
    sleep(-1, False, _LOOK_AGAIN if timeout is None else min(timeout, _LOOK_AGAIN))
    return True


def _running() -> tuple[Any, _Wait, Callable[[], Any]] | tuple[None, Any, Any]:
    """The hub of this thread, and how to wait in it."""
    # Another thread may be about to import one of them.
    gevent = getattr(sys.modules.get("gevent._hub_local"), "get_hub_if_exists", None)
    if gevent:
        hub = gevent()
        if _can_wait_in(hub):
            from gevent.lock import BoundedSemaphore

            return hub, _wait_in_gevent, BoundedSemaphore
    eventlet = getattr(sys.modules.get("eventlet.hubs"), "_threadlocal", None)
    if eventlet:
        hub = getattr(eventlet, "hub", None)
        if hub and _can_wait_in(hub.greenlet):
            from eventlet.semaphore import BoundedSemaphore

            return hub, _wait_in_eventlet, BoundedSemaphore
    return None, None, None


def _can_wait_in(hub: Any) -> bool:
    from greenlet import getcurrent

    return hub is not None and hub is not getcurrent()


def _wait_in_gevent(fd: int, write: bool, timeout: float | None) -> None:
    import gevent

    if fd < 0:
        gevent.sleep(timeout)
        return
    hub = gevent.get_hub()
    watcher = hub.loop.io(fd, 2 if write else 1)
    try:
        with gevent.Timeout(timeout, False):
            hub.wait(watcher)
    finally:
        watcher.close()


def _wait_in_eventlet(fd: int, write: bool, timeout: float | None) -> None:
    import eventlet
    from eventlet.hubs import trampoline

    if fd < 0:
        eventlet.sleep(timeout)
        return
    with eventlet.Timeout(timeout, False):
        trampoline(fd, read=not write, write=write)
