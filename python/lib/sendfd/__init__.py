"""Hands open descriptors to other processes by their pid.

>>> import os, sendfd
>>> with sendfd.Inbox() as inbox, open(os.devnull) as file:
...     sendfd.send(os.getpid(), file, data=b"nothing in it")
...     with inbox.recv(timeout=1) as parcel, parcel.open() as received:
...         parcel.data, parcel.pid == os.getpid(), received.read()
(b'nothing in it', True, '')

The address is the id of a process (or of a thread) and a real-time signal number. There is no path,
no connection to set up, no daemon; who may signal a process may send to it, nobody else.
"""

from ._awaited import arequest, asend
from ._inbox import Inbox
from ._outbox import Outbox
from ._sendfd import MAX_DATA, MAX_FDS, SIGNO, Parcel, __version__, request, send

TYPE_CHECKING = False

if TYPE_CHECKING:
    from ._types import HasFileno as HasFileno

__all__ = [
    "MAX_DATA", "MAX_FDS", "SIGNO", "HasFileno", "Inbox", "Outbox", "Parcel", "__version__",
    "arequest", "asend", "request", "send",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name == "HasFileno":
        from ._types import HasFileno

        return HasFileno
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
