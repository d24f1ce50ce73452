# What the package is built on; private. Compared with the module by stubtest.

from collections.abc import Iterator
from io import BufferedRandom, BufferedReader, BufferedWriter, FileIO, TextIOWrapper
from typing import IO, Any, Final, Literal, SupportsIndex, final, overload

from _typeshed import (
    OpenBinaryMode,
    OpenBinaryModeReading,
    OpenBinaryModeUpdating,
    OpenBinaryModeWriting,
    OpenTextMode,
)
from typing_extensions import Buffer, Self, disjoint_base

from ._types import HasFileno, Socket

__all__ = [
    "MAX_DATA", "MAX_FDS", "SIGNO", "Answer", "HeldLink", "Mailbox", "Parcel", "TakenWatch",
    "__version__", "receive", "request", "room", "send",
]  # fmt: skip

SIGNO: Final = 50
MAX_FDS: Final = 252
MAX_DATA: Final = 65536
__version__: Final[str]

@overload
def send(
    to: int | str,
    *fds: int | HasFileno,
    pidfd: None = None,
    data: Buffer = b"",
    signal: int = 50,
    timeout: float | None = 0,
) -> None: ...
@overload
def send(
    to: None = None,
    *fds: int | HasFileno,
    pidfd: int | HasFileno,
    data: Buffer = b"",
    signal: int = 50,
    timeout: float | None = 0,
) -> None: ...
@overload
def request(
    to: int | str,
    *fds: int | HasFileno,
    pidfd: None = None,
    data: Buffer = b"",
    signal: int = 50,
    timeout: float | None = None,
) -> Parcel: ...
@overload
def request(
    to: None = None,
    *fds: int | HasFileno,
    pidfd: int | HasFileno,
    data: Buffer = b"",
    signal: int = 50,
    timeout: float | None = None,
) -> Parcel: ...
def room(to: int | str | None, pidfd: int | HasFileno | None, signal: int) -> tuple[int, bool]: ...
def receive(fd: int, size: int) -> tuple[bytes, int | None]: ...

@disjoint_base
class Mailbox:
    def __new__(cls, *_args: object, **_kwargs: object) -> Self: ...
    def _open(
        self,
        signal: int,
        thread: bool,
        signals: bool,
        users: list[int],
        groups: list[int],
        anyone: bool,
        directory: bytes | None,
    ) -> None: ...
    def _is_news(self, parcel_id: int) -> bool: ...
    @property
    def signal(self) -> int: ...
    @property
    def thread(self) -> bool: ...
    @property
    def signals(self) -> bool: ...
    @property
    def address(self) -> str: ...
    @property
    def closed(self) -> bool: ...
    def fileno(self) -> int: ...
    def discard(self, error: BaseException) -> None: ...
    def recv(self, timeout: float | None = None) -> Parcel: ...
    def close(self) -> None: ...

@disjoint_base
class HeldLink:
    def __new__(cls, *_args: object, **_kwargs: object) -> Self: ...
    def _open(
        self,
        to: int | str | None,
        pidfd: int | HasFileno | None,
        signal: int,
        timeout: float | None,
    ) -> None: ...
    def _ask(self, *fds: int | HasFileno, data: Buffer = b"") -> Answer: ...
    def _waits_to_be_let_in(self) -> bool: ...
    def _watch_taken(self) -> TakenWatch: ...
    @property
    def closed(self) -> bool: ...
    def fileno(self) -> int: ...
    def send(
        self, *fds: int | HasFileno, data: Buffer = b"", timeout: float | None = 0
    ) -> None: ...
    def wait_taken(self, timeout: float | None = None) -> None: ...
    def request(
        self, *fds: int | HasFileno, data: Buffer = b"", timeout: float | None = None
    ) -> Parcel: ...
    def close(self) -> None: ...

@final
class Answer:
    def fileno(self) -> int: ...
    def recv(self, timeout: float | None = None) -> Parcel: ...
    def close(self) -> None: ...

@final
class TakenWatch:
    @property
    def closed(self) -> bool: ...
    def fileno(self) -> int: ...
    def is_taken(self) -> bool: ...

@final
class Parcel:
    def __new__(cls) -> Self: ...
    @property
    def fd(self) -> int: ...
    @property
    def fds(self) -> tuple[int, ...]: ...
    @property
    def data(self) -> bytes: ...
    @property
    def pid(self) -> int: ...
    @property
    def uid(self) -> int: ...
    @property
    def gid(self) -> int: ...
    @property
    def signo(self) -> int: ...
    @property
    def wants_reply(self) -> bool: ...
    def reply(self, *fds: int | HasFileno, data: Buffer = b"") -> None: ...
    def detach(self) -> list[int]: ...
    def socket(self) -> Socket: ...
    def sockets(self) -> list[Socket]: ...
    @overload
    def open(
        self,
        mode: OpenTextMode = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> TextIOWrapper: ...
    @overload
    def open(
        self,
        mode: OpenBinaryMode,
        buffering: Literal[0],
        encoding: None = None,
        errors: None = None,
        newline: None = None,
    ) -> FileIO: ...
    @overload
    def open(
        self,
        mode: OpenBinaryModeUpdating,
        buffering: Literal[-1, 1] = -1,
        encoding: None = None,
        errors: None = None,
        newline: None = None,
    ) -> BufferedRandom: ...
    @overload
    def open(
        self,
        mode: OpenBinaryModeWriting,
        buffering: Literal[-1, 1] = -1,
        encoding: None = None,
        errors: None = None,
        newline: None = None,
    ) -> BufferedWriter: ...
    @overload
    def open(
        self,
        mode: OpenBinaryModeReading,
        buffering: Literal[-1, 1] = -1,
        encoding: None = None,
        errors: None = None,
        newline: None = None,
    ) -> BufferedReader: ...
    @overload
    def open(
        self,
        mode: str,
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]: ...
    def close(self) -> None: ...
    def __len__(self) -> int: ...
    def __bool__(self) -> Literal[True]: ...
    @overload
    def __getitem__(self, index: SupportsIndex, /) -> int: ...
    @overload
    def __getitem__(self, index: slice, /) -> tuple[int, ...]: ...
    def __iter__(self) -> Iterator[int]: ...
    def __reversed__(self) -> Iterator[int]: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exc_info: object) -> None: ...
