"""The outbox: what is Python's own about it, `with` and what is awaited."""

from __future__ import annotations

import errno
import os
import warnings

from ._sendfd import SIGNO, HeldLink
from ._waiting import Turns, Waiters, readable, sleep

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import TypeVar

    from typing_extensions import Buffer, Self

    from ._sendfd import Parcel, TakenWatch
    from ._types import HasFileno

    _T = TypeVar("_T")

# How often it is looked whether a task has opened its inbox.
_LOOK_AGAIN = 0.02


class Outbox(HeldLink):
    """One link to one inbox, that of the process or thread with the id or address `to`, or `pidfd`.

    It tells what became of the parcels that were sent through it, and asks for answers. They arrive
    in the order in which they were sent; between them and those of sendfd.send() there is no order.

    Opening it waits up to `timeout` seconds for the task to open its inbox; None waits for ever. It
    raises ConnectionRefusedError (no such inbox, timeout 0), TimeoutError (none in time),
    ProcessLookupError (no such process, or it ended meanwhile), or what sendfd.send() raises.

    It leads to that inbox alone: once that is closed, or its process has died, sending raises
    BrokenPipeError. A guest that the inbox has not let in yet waits for that in its first send.
    Any number of threads and tasks may use it at once. fileno() polls writable
    while there is room, and hangs up with the receiver. A forked child does not have it: there it
    raises PermissionError.

    >>> import os, sendfd
    >>> with sendfd.Inbox(53) as inbox, sendfd.Outbox(os.getpid(), signal=53) as outbox:
    ...     outbox.send(0, data=b"standard input")
    ...     with inbox.recv(timeout=1):
    ...         outbox.wait_taken(timeout=1)
    """

    _pid = 0  # Nobody's, where __init__ did not run.

    def __init__(
        self,
        to: int | str | None = None,
        *,
        pidfd: int | HasFileno | None = None,
        signal: int = SIGNO,
        timeout: float | None = 0,
    ) -> None:
        self._open(to, pidfd, signal, timeout)
        self._room = Waiters(write=True)
        self._welcome = Waiters()
        self._taken = Waiters()
        # While anybody waits; for all of them.
        self._taken_watch: TakenWatch | None = None
        self._wait_for_taken: set[object] = set()
        # How often all had been taken.
        self._all_taken = 0
        self._turns = Turns()
        self._said = (f"pidfd={pidfd}" if to is None else f"to={to}") + f" signal={signal}"
        self._pid = os.getpid()

    @classmethod
    async def aopen(
        cls,
        to: int | str | None = None,
        *,
        pidfd: int | HasFileno | None = None,
        signal: int = SIGNO,
    ) -> Self:
        """Opens one, as soon as the task has opened its inbox."""
        while True:
            try:
                return cls(to, pidfd=pidfd, signal=signal)
            except (ConnectionRefusedError, BlockingIOError):
                await sleep(_LOOK_AGAIN)

    def fileno(self) -> int:
        """Polls writable while there is room, and hangs up with the receiver."""
        if self._pid not in (0, os.getpid()):
            raise PermissionError(errno.EPERM, "the outbox was opened by another process")
        return super().fileno()

    async def asend(self, *fds: int | HasFileno, data: Buffer = b"") -> None:
        """As send(), and waits for room. If it is cancelled, nothing has been sent."""
        await self._turns.take()
        await self._as_soon_as_there_is_room(lambda: self.send(*fds, data=data))

    async def await_taken(self) -> None:
        """As wait_taken(): until all that has been sent by now has been taken."""
        await self._turns.take()
        before = self._all_taken
        me = object()
        self._wait_for_taken.add(me)
        try:
            while self._all_taken == before:
                watch = self._taken_watch = self._taken_watch or self._watch_taken()
                try:
                    taken = watch.is_taken()
                except OSError:
                    self._taken.wake_all()  # It will not poll readable again for that.
                    raise
                if taken:
                    self._all_taken += 1
                    self._taken.wake_all()
                    return
                self._turns.have_waited()
                await self._taken.wait(watch)
        finally:
            self._wait_for_taken.discard(me)
            if not self._wait_for_taken:
                self._taken_watch = None

    async def arequest(self, *fds: int | HasFileno, data: Buffer = b"") -> Parcel:
        """As request(). If it is cancelled, whoever answers then gets BrokenPipeError."""
        await self._turns.take()
        answer = await self._as_soon_as_there_is_room(lambda: self._ask(*fds, data=data))
        self._turns.have_waited()
        keep = False
        try:
            while True:
                try:
                    return answer.recv(timeout=0)
                except BlockingIOError:
                    await readable(answer)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                keep = True
                error.answer = answer  # type: ignore[attr-defined]
            raise
        finally:
            if not keep:
                answer.close()

    async def _as_soon_as_there_is_room(self, send: Callable[[], _T]) -> _T:
        while True:
            try:
                return send()
            except BlockingIOError:
                self._turns.have_waited()
                waiters = self._welcome if self._waits_to_be_let_in() else self._room
                await waiters.wait(self)

    def close(self) -> None:
        """Closes it. May be repeated.

        What was sent and not taken yet stays in the receiver's queue. Answers that are awaited may
        still come. A task that waits for room gets OSError(EBADF); other threads that wait go on.
        """
        super().close()
        if self._pid == os.getpid():
            self._room.wake_all()
            self._welcome.wake_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not self.closed and self._pid == os.getpid():
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            self.close()

    def __repr__(self) -> str:
        if not self._pid:
            return "<sendfd.Outbox not opened>"
        if self._pid != os.getpid():
            return f"<sendfd.Outbox {self._said} of another process>"
        return f"<sendfd.Outbox {self._said}{' closed' if self.closed else ''}>"
