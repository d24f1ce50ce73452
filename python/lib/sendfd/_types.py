"""Names for what the package takes. Only whoever asks for them pays for `typing`."""

import socket
from typing import Protocol, runtime_checkable

Socket = socket.socket  # For those that have a method with its name.


@runtime_checkable
class HasFileno(Protocol):
    """What send() takes beside ints: files, sockets, pipes, and whatever else has a fileno()."""

    def fileno(self) -> int: ...
