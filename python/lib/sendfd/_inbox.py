"""The inbox: what is Python's own about it, `with` and `async for`."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import warnings
from typing import TYPE_CHECKING

from ._sendfd import SIGNO, Mailbox

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from ._sendfd import Parcel


# Other tasks get their turn after so many parcels that were there already.
_IN_A_ROW = 64


class Inbox(Mailbox):
    """Where parcels for this process arrive that were sent with the number `signal`.

    With `thread` they are addressed to the id of the calling thread, threading.get_native_id().

    It is quiet by default: no signal is ever queued, and any number of threads may use it at once.
    fileno() polls readable while there is mail, for select, selectors, poll and event loops.

    With `signals` every parcel queues a real-time signal to the calling thread, which alone may use
    the inbox then. The number and SIGIO are blocked there: wait for both with signal.sigtimedwait,
    then call recv(timeout=0) until it raises BlockingIOError, since one signal may stand for
    several parcels, and some for none.

    A forked child has no inbox before it opens its own: the inherited one raises PermissionError.

    >>> import os, sendfd
    >>> with sendfd.Inbox(51) as inbox:
    ...     sendfd.send(os.getpid(), 0, data=b"hello", signal=51)
    ...     with inbox.recv(timeout=1) as parcel:
    ...         parcel.data, len(parcel.fds)
    (b'hello', 1)
    """

    def __init__(self, signal: int = SIGNO, *, thread: bool = False, signals: bool = False) -> None:
        del signal, thread, signals  # __new__ has seen to them
        self._pid = os.getpid()
        # Collecting garbage may come here again: what waited in a loop that was closed.
        self._lock = threading.RLock()
        self._watches: dict[asyncio.AbstractEventLoop, _Watch] = {}
        self._in_a_row = 0

    def close(self) -> None:
        """Closes it, from whatever thread. May be repeated.

        Mail that nobody took is released, and later senders get ConnectionRefusedError. A waiting
        recv() raises OSError(EBADF); an `async for` ends. With `signals`, only the thread that
        opened it gets its signal mask back by this.
        """
        if self._pid != os.getpid():
            # Forked, maybe while another thread had the lock.
            super().close()
            return
        with self._lock:
            super().close()
            for watch in list(self._watches.values()):
                watch.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Parcel:
        """Takes the next parcel. Nothing is lost if the wait is cancelled."""
        self._in_a_row += 1
        if self._in_a_row > _IN_A_ROW:
            self._in_a_row = 0
            await asyncio.sleep(0)
        while not self.closed:
            try:
                return self.recv(timeout=0)
            except BlockingIOError:
                self._in_a_row = 0
                await self._readable()
            except OSError as error:
                if error.errno != errno.EBADF or not self.closed:
                    raise
        raise StopAsyncIteration

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        with self._lock:
            if self.closed:
                return
            for other in [other for other in self._watches if other.is_closed()]:
                self._watches.pop(other).stop()
            if loop not in self._watches:
                self._watches[loop] = _Watch(loop, self.fileno())
            watch = self._watches[loop]
            watch.waiting.add(woken)
        try:
            await woken
        finally:
            with self._lock:
                watch.waiting.discard(woken)
                if not watch.waiting:
                    self._watches.pop(loop, None)
                    watch.stop()

    def __del__(self) -> None:
        if not self.closed and self._pid == os.getpid():
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"fd={self.fileno()}"
        options = "".join(f" {name}" for name in ("thread", "signals") if getattr(self, name))
        return f"<sendfd.Inbox signal={self.signal}{options} {state}>"


class _Watch:
    """Wakes the tasks of one event loop that wait for one inbox. Lives as long as any does."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fd: int) -> None:
        self.waiting: set[asyncio.Future[None]] = set()
        self._loop = loop
        # Another thread may close the inbox, and the number come to mean something else, while the
        # loop still watches it. The duplicate is closed by the loop's own thread.
        self._fd = os.dup(fd)
        try:
            loop.add_reader(self._fd, self._wake)
        except BaseException:
            os.close(self._fd)
            raise

    def _wake(self) -> None:
        # All of them: one that is cancelled now could not pass the news on.
        for future in self.waiting:
            if not future.done():
                future.set_result(None)

    def stop(self) -> None:
        """May be repeated."""
        if self._fd < 0:
            return
        if not self._loop.is_closed():
            self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1

    def end(self) -> None:
        """The inbox is closed, by whatever thread."""
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:  # The loop is closed, too.
            self.stop()
