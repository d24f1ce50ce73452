"""What every process has one of."""

from __future__ import annotations

import errno
import os
import threading
from multiprocessing import util
from typing import Any, Callable, Generic, Protocol, TypeVar

from ._interrupts import into


class Service(Protocol):
    """What can be kept per process."""

    def close(self) -> None: ...

    def forget(self) -> None:
        """Closes what a forked child has inherited, without waiting for any lock."""


S = TypeVar("S", bound=Service)


# multiprocessing ends what has a lower one last: after the children have been waited for, which may
# still ask for what this process keeps.
_AFTER_THE_CHILDREN = -100

# Packages made like multiprocessing, in each of which there may be children that are waited for.
_utils: list[Any] = [util]


def end_with(package_util: Any) -> None:
    """What every process has one of is closed after the children of that package have ended."""
    if package_util not in _utils:
        _utils.append(package_util)
        for everywhere in _everywhere:
            everywhere._close_at_exit()


# Held while a descriptor is made and noted down: no child is forked that has it and does not know.
# Nothing may wait while it is held. Signal handlers and the garbage collector may come here again.
creating = threading.RLock()
os.register_at_fork(
    before=creating.acquire, after_in_parent=creating.release, after_in_child=creating.release
)


_everywhere: list[PerProcess[Any]] = []


class PerProcess(Generic[S]):
    """Made when first needed, closed when the process exits, made anew in a forked child."""

    def __init__(self, make: Callable[[], S]) -> None:
        self._make = make
        self._made: list[S] = []
        self._lock = threading.RLock()
        self._being_made = False
        self._at_exit: list[Any] = []
        self._ended: list[Any] = []
        _everywhere.append(self)
        os.register_at_fork(after_in_child=self._forget)
        # A child of multiprocessing's begins with nothing to do at its exit.
        util.register_after_fork(self, PerProcess._close_at_exit)

    @property
    def made(self) -> S | None:
        try:
            return self._made[0]
        except IndexError:
            return None

    def get(self) -> S:
        """Raises what making it raises; EDEADLK where that was interrupted to come here."""
        made = self.made
        if made is None:
            with self._lock:
                made = self.made or self._new()
        return made

    def _new(self) -> S:
        if self._being_made:
            raise OSError(errno.EDEADLK, os.strerror(errno.EDEADLK))
        self._being_made = True
        try:
            into(self._made, self._make)
            self._close_at_exit()
        finally:
            self._being_made = False
        return self._made[0]

    def close(self) -> None:
        with self._lock:
            at_exit, self._at_exit = self._at_exit, []
            made = self._made[:]
            del self._made[:]
        for finalizer in at_exit:
            finalizer.cancel()
        for service in made:
            service.close()

    def _close_at_exit(self) -> None:
        if self._made:
            for finalizer in self._at_exit:
                finalizer.cancel()
            self._at_exit = [
                package_util.Finalize(
                    None, self._ends, (package_util,), exitpriority=_AFTER_THE_CHILDREN
                )
                for package_util in _utils
            ]

    def _ends(self, package_util: Any) -> None:
        self._ended.append(package_util)
        if len(self._ended) == len(_utils):
            self.close()

    def _forget(self) -> None:
        self._lock = threading.RLock()
        self._being_made = False
        self._at_exit = []
        self._ended = []
        made = self._made[:]
        del self._made[:]
        for service in made:
            service.forget()
