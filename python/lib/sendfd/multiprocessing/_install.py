"""Putting the functions in place, here and in the processes that are started from here."""

from __future__ import annotations

import contextlib
from multiprocessing import process, reduction, util
from typing import Any, Callable

from ._arrivals import arrivals
from ._channel import channels
from ._handles import recv_handle, send_handle
from ._keeper import keeper
from ._tickets import DupFd

_OURS: dict[str, Callable[..., Any]] = {
    "DupFd": DupFd,
    "recv_handle": recv_handle,
    "send_handle": send_handle,
}
_before: dict[str, Callable[..., Any]] = {}
_KEY = "sendfd"


def install() -> None:
    """Puts send_handle(), recv_handle() and DupFd() into multiprocessing.reduction.

    Processes that are created from now on have it, too. Raises OSError (EADDRINUSE) if this process
    has an inbox of its own for the number 49. May be repeated.
    """
    arrivals.get()
    _put_in_place()


def uninstall() -> None:
    """Puts back what was there, and closes what install() has opened. May be repeated.

    Nothing may be on its way to this process: it would be lost.
    """
    while _before:
        setattr(reduction, *_before.popitem())
    _config().pop(_KEY, None)
    arrivals.close()
    keeper.close()
    channels.close()


def _put_in_place() -> None:
    for name, function in _OURS.items():
        _before.setdefault(name, getattr(reduction, name))
        setattr(reduction, name, function)
    _config()[_KEY] = _in_every_child


def _config() -> dict[str, Any]:
    return process.current_process()._config  # type: ignore[attr-defined,no-any-return]


class _InEveryChild:
    """Part of the configuration that a process hands down to those it creates."""

    def __reduce__(self) -> tuple[Callable[[], _InEveryChild], tuple[()]]:
        # Under spawn and forkserver the child unpickles it, once it has its parent's sys.path.
        return _install_in_child, ()

    def after_fork(self) -> None:
        # Opened early, so that the first descriptors to come can go by pid already.
        if _before:
            with contextlib.suppress(OSError):
                arrivals.get()


def _install_in_child() -> _InEveryChild:
    _put_in_place()
    _in_every_child.after_fork()
    return _in_every_child


_in_every_child = _InEveryChild()
util.register_after_fork(_in_every_child, _InEveryChild.after_fork)
