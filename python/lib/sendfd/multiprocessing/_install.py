"""Putting the functions in place, here and in the processes that are started from here."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
from typing import TYPE_CHECKING, Any, Callable

from ._arrivals import arrivals
from ._channel import channels
from ._handles import recv_handle, send_handle
from ._keeper import keeper
from ._process import end_with
from ._tickets import DupFd, dup_fd_for

if TYPE_CHECKING:
    from types import ModuleType

_KEY = "sendfd"
_installed: dict[str, _Installation] = {}


def install(package: ModuleType = multiprocessing) -> None:
    """Puts send_handle(), recv_handle() and DupFd() into multiprocessing.reduction.

    Or into that of another package that is made like multiprocessing: `multiprocess`, `billiard`.
    Processes that are created from now on have it, too. Raises OSError (EADDRINUSE) if this process
    has an inbox of its own for the number 49. May be repeated.
    """
    arrivals.get()
    _install(package.__name__)


def uninstall() -> None:
    """Puts back what was there, and closes what install() has opened. May be repeated.

    Nothing may be on its way to this process: it would be lost.
    """
    while _installed:
        _installed.popitem()[1].undo()
    arrivals.close()
    keeper.close()
    channels.close()


def _install(name: str) -> _Installation:
    if name not in _installed:
        _installed[name] = _Installation(name)
    return _installed[name]


def _install_in_child(name: str) -> _Installation:
    installed = _install(name)
    installed.after_fork()
    return installed


class _Installation:
    """In one package; part of the configuration that a process hands down to those it creates."""

    def __init__(self, name: str) -> None:
        self._name = name
        package = importlib.import_module(name)
        self._process = importlib.import_module(".process", name)
        self._before: list[tuple[ModuleType, str, Callable[..., Any]]] = []
        reduction = importlib.import_module(".reduction", name)
        self._put(reduction, "send_handle", send_handle)
        self._put(reduction, "recv_handle", recv_handle)
        self._put(reduction, "DupFd", DupFd if package is multiprocessing else dup_fd_for(package))
        sharer = importlib.import_module(".resource_sharer", name)
        self._put(sharer, "stop", _also_stopping_ours(sharer.stop))
        util = importlib.import_module(".util", name)
        util.register_after_fork(self, _Installation.after_fork)
        end_with(util)
        self._config()[_KEY] = self

    def _put(self, module: ModuleType, name: str, function: Callable[..., Any]) -> None:
        self._before.append((module, name, getattr(module, name)))
        setattr(module, name, function)

    def undo(self) -> None:
        while self._before:
            setattr(*self._before.pop())
        self._config().pop(_KEY, None)

    def _config(self) -> dict[str, Any]:
        return self._process.current_process()._config  # type: ignore[no-any-return]

    def __reduce__(self) -> tuple[Callable[[str], _Installation], tuple[str]]:
        # Under spawn and forkserver the child unpickles it, once it has its parent's sys.path.
        return _install_in_child, (self._name,)

    def after_fork(self) -> None:
        # Opened early, so that the first descriptors to come can go by pid already.
        if self._before:
            with contextlib.suppress(OSError):
                arrivals.get()


def _also_stopping_ours(standard: Callable[..., None]) -> Callable[..., None]:
    def stop(timeout: float | None = None) -> None:
        """Ends the thread that hands out descriptors, and closes those that are left."""
        keeper.close()
        standard(timeout)

    return stop
