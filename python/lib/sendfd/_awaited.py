"""send() and request() for tasks of an event loop."""

from __future__ import annotations

import os

from ._outbox import Outbox
from ._sendfd import SIGNO, room, send
from ._waiting import ready, sleep

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import Buffer

    from ._sendfd import Parcel
    from ._types import HasFileno

_send: Any = send  # Takes either, which its overloads know one by one.

# Where too many others wait to be accepted, nothing tells of an end of it.
_LOOK_AGAIN = 0.02


async def asend(
    to: int | str | None = None,
    *fds: int | HasFileno,
    pidfd: int | HasFileno | None = None,
    data: Buffer = b"",
    signal: int = SIGNO,
) -> None:
    """As send(), and waits for room. If it is cancelled, nothing has been sent."""
    while True:
        try:
            _send(to, *fds, pidfd=pidfd, data=data, signal=signal)
        except BlockingIOError:
            await _room(to, pidfd, signal)
        else:
            return


async def arequest(
    to: int | str | None = None,
    *fds: int | HasFileno,
    pidfd: int | HasFileno | None = None,
    data: Buffer = b"",
    signal: int = SIGNO,
) -> Parcel:
    """As request(). If it is cancelled, whoever answers then gets BrokenPipeError."""
    while True:
        try:
            outbox = Outbox(to, pidfd=pidfd, signal=signal)
        except BlockingIOError:
            await sleep(_LOOK_AGAIN)
        else:
            with outbox:
                return await outbox.arequest(*fds, data=data)


async def _room(to: int | str | None, pidfd: int | HasFileno | None, signal: int) -> None:
    try:
        fd, write = room(to, pidfd, signal)
    except BlockingIOError:
        await sleep(_LOOK_AGAIN)
        return
    try:
        await ready(fd, write)
    finally:
        os.close(fd)
