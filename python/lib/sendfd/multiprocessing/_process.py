"""What every process has one of."""

from __future__ import annotations

import atexit
import os
import threading
from typing import Callable, Generic, Protocol, TypeVar


class Service(Protocol):
    """What can be kept per process."""

    def close(self) -> None: ...

    def forget(self) -> None:
        """Closes what a forked child has inherited, without waiting for any lock."""


S = TypeVar("S", bound=Service)


class PerProcess(Generic[S]):
    """Made when first needed, closed when the interpreter exits, made anew in a forked child."""

    def __init__(self, make: Callable[[], S]) -> None:
        self._make = make
        self.made: S | None = None  # to be read only
        self._lock = threading.Lock()
        atexit.register(self.close)
        os.register_at_fork(after_in_child=self._forget)

    def get(self) -> S:
        made = self.made
        if made is None:
            with self._lock:
                made = self.made = self.made or self._make()
        return made

    def close(self) -> None:
        with self._lock:
            made, self.made = self.made, None
        if made is not None:
            made.close()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        made, self.made = self.made, None
        if made is not None:
            made.forget()
