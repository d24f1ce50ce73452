"""The inbox: what is Python's own about it, `with` and `async for`."""

from __future__ import annotations

import errno
import os
import warnings

from ._sendfd import SIGNO, Mailbox
from ._waiting import Turns, Waiters

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from _typeshed import StrOrBytesPath
    from typing_extensions import Self

    from ._sendfd import Parcel


# Nothing tells when a table has room again.
_LOOK_AGAIN = 0.05


class Inbox(Mailbox):
    """Where parcels for this process arrive that were sent with the number `signal`.

    With `thread` they are addressed to the id of the calling thread, threading.get_native_id().

    It is quiet by default: no signal is ever queued, and any number of threads may use it at once.
    fileno() polls readable while there is mail, for select, selectors, poll and event loops.

    With `signals` every parcel queues a real-time signal to the calling thread, which alone may use
    the inbox then. The number and SIGIO are blocked there: wait for both with signal.sigtimedwait,
    then call recv(timeout=0) until it raises BlockingIOError, since one signal may stand for
    several parcels, and some for none.

    Root and the process's own user may send. Beside them, as guests: `users` by number, members of
    `groups` by number, or `anyone` on this machine. A guest's first send raises BlockingIOError, or
    waits, until a call here has looked for mail; who is not let in gets PermissionError. At
    most 16 connections of one user are held, and 1,024 of all guests, or as many as a quarter of
    RLIMIT_NOFILE. The number as which users without one are shown (65534) is nobody's: naming it
    raises OSError(EINVAL).

    `directory` is where it listens as well, for senders in other network namespaces: by default in
    $SENDFD_DIR, or in /run/sendfd if that is there; "" is nowhere. `address` is text that names it
    on this machine, and can be given to senders that do not see the pid.

    A forked child has no inbox before it opens its own: the inherited one raises PermissionError.

    >>> import os, sendfd
    >>> with sendfd.Inbox(51) as inbox:
    ...     sendfd.send(os.getpid(), 0, data=b"hello", signal=51)
    ...     with inbox.recv(timeout=1) as parcel:
    ...         parcel.data, len(parcel.fds)
    (b'hello', 1)
    """

    _pid = 0  # Nobody's, where __init__ did not run.

    def __init__(
        self,
        signal: int = SIGNO,
        *,
        thread: bool = False,
        signals: bool = False,
        users: Iterable[int] = (),
        groups: Iterable[int] = (),
        anyone: bool = False,
        directory: StrOrBytesPath | None = None,
    ) -> None:
        path = None if directory is None else os.fsencode(directory)
        self._open(signal, thread, signals, list(users), list(groups), anyone, path)
        self._waiters = Waiters()
        self._turns = Turns()
        self._pid = os.getpid()

    def close(self) -> None:
        """Closes it, from whatever thread. May be repeated.

        Mail that nobody took is released, and later senders get ConnectionRefusedError. A waiting
        recv() raises OSError(EBADF); a `for` or `async for` ends. With `signals`, only the thread
        that opened it gets its signal mask back by this.
        """
        super().close()
        if self._pid == os.getpid():
            self._waiters.wake_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Parcel:
        """Takes the next parcel, as recv() does."""
        try:
            return self.recv()
        except OSError as error:
            if error.errno != errno.EBADF or not self.closed:
                raise
        raise StopIteration

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Parcel:
        """Takes the next parcel, as arecv() does."""
        try:
            return await self.arecv()
        except OSError as error:
            if error.errno != errno.EBADF or not self.closed:
                raise
        raise StopAsyncIteration

    async def arecv(self) -> Parcel:
        """As recv(). If it is cancelled, nothing is lost."""
        await self._turns.take()
        while True:
            pause = 0.0
            try:
                return self.recv(timeout=0)
            except BlockingIOError:
                pass
            except OSError as error:
                no_room = error.errno in (errno.EMFILE, errno.ENFILE)
                if not no_room or self._is_news(getattr(error, "parcel_id", 0)):
                    raise
                pause = _LOOK_AGAIN
            self._turns.have_waited()
            await self._waiters.wait(self, pause=pause)

    def __del__(self) -> None:
        if not self.closed and self._pid == os.getpid():
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            self.close()

    def __repr__(self) -> str:
        if not self._pid:
            return "<sendfd.Inbox not opened>"
        try:
            state = "closed" if self.closed else f"fd={self.fileno()}"
        except PermissionError:
            state = "of another process"
        except OSError:  # It was closed by another thread.
            state = "closed"
        options = "".join(f" {name}" for name in ("thread", "signals") if getattr(self, name))
        return f"<sendfd.Inbox signal={self.signal}{options} {state}>"
