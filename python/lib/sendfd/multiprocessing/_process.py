"""What every process has one of."""

from __future__ import annotations

import os
import threading
from multiprocessing import util
from typing import Callable, Generic, Protocol, TypeVar


class Service(Protocol):
    """What can be kept per process."""

    def close(self) -> None: ...

    def forget(self) -> None:
        """Closes what a forked child has inherited, without waiting for any lock."""


S = TypeVar("S", bound=Service)


# multiprocessing ends what has a lower one last: after the children have been waited for, which may
# still ask for what this process keeps.
_AFTER_THE_CHILDREN = -100


class PerProcess(Generic[S]):
    """Made when first needed, closed when the process exits, made anew in a forked child."""

    def __init__(self, make: Callable[[], S]) -> None:
        self._make = make
        self.made: S | None = None  # to be read only
        self._lock = threading.Lock()
        self._at_exit: util.Finalize[None] | None = None
        os.register_at_fork(after_in_child=self._forget)
        # A child of multiprocessing's begins with nothing to do at its exit.
        util.register_after_fork(self, PerProcess._close_at_exit)

    def get(self) -> S:
        made = self.made
        if made is None:
            with self._lock:
                made = self.made = self.made or self._make()
                self._close_at_exit()
        return made

    def close(self) -> None:
        with self._lock:
            made, self.made = self.made, None
            at_exit, self._at_exit = self._at_exit, None
        if at_exit is not None:
            at_exit.cancel()
        if made is not None:
            made.close()

    def _close_at_exit(self) -> None:
        if self.made is not None:
            self._at_exit = util.Finalize(None, self.close, exitpriority=_AFTER_THE_CHILDREN)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._at_exit = None
        made, self.made = self.made, None
        if made is not None:
            made.forget()
