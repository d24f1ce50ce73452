"""The inbox for send_handle(), and the parcels in it that nobody has asked for yet."""

from __future__ import annotations

import threading

from .. import Inbox, Parcel
from ._interrupts import into
from ._process import PerProcess

SIGNO = 49
TOKEN = 16
# Behind a token: nobody will ask for the parcel that came with it.
WITHDRAWN = b"withdrawn"
# Where more tokens are given up, it is looked which parcels do not come at all.
MOST_GIVEN_UP = 64


class Arrivals:
    """The parcels that have come, by the token in them.

    Whatever a signal handler interrupts may be called again, also from the handler.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._inbox = Inbox(SIGNO)
        self._unsorted: list[Parcel] = []
        self._by_token: dict[bytes, Parcel] = {}
        self._given_up: set[bytes] = set()

    def find(self, token: bytes) -> Parcel | Exception:
        """The parcel, which stays here until drop(); or the error, if it is not to be had."""
        with self._lock:
            while True:
                self._sort()
                parcel = self._by_token.get(token)
                if parcel is not None:
                    return parcel
                try:
                    into(self._unsorted, self._inbox.recv, 0)
                except BlockingIOError:
                    if not self._unsorted and token not in self._by_token:
                        text = (
                            "The descriptor is not there: was it sent to the pid of this process?"
                        )
                        return RuntimeError(text)
                except OSError as error:
                    if error.errno is None:
                        raise  # It is a signal handler's.
                    self._given_up.add(token)
                    return error

    def drop(self, token: bytes) -> None:
        """Forgets a parcel that find() has given."""
        self._by_token.pop(token, None)

    def give_up(self, token: bytes) -> None:
        """Nobody will ask for that parcel."""
        with self._lock:
            self._release(token)
            if len(self._given_up) > MOST_GIVEN_UP:
                self._forget_liars()

    def _release(self, token: bytes) -> None:
        self._given_up.add(token)
        parcel = self._by_token.get(token)
        if parcel is not None:
            parcel.close()
            self._given_up.discard(token)
            self.drop(token)

    def _forget_liars(self) -> None:
        """A parcel was sent before its token: once the queue is empty, none of these comes."""
        try:
            while True:
                self._sort()
                into(self._unsorted, self._inbox.recv, 0)
        except BlockingIOError:
            if not self._unsorted:
                self._given_up.clear()
        except OSError as error:
            if error.errno is None:
                raise  # It is a signal handler's.

    def _sort(self) -> None:
        while self._unsorted:
            parcel = self._unsorted[0]
            token, more = parcel.data[:TOKEN], parcel.data[TOKEN:]
            if more == WITHDRAWN:
                parcel.close()
                self._release(token)
                self._given_up.discard(token)
            elif more or len(token) != TOKEN or not parcel.fds or token in self._given_up:
                # Without a descriptor it is none of send_handle(), and would take no room in the
                # table. What is kept here does; where that is full, the rest stays in the queue.
                parcel.close()
                self._given_up.discard(token)
            else:
                self._by_token[token] = parcel
            if self._unsorted and self._unsorted[0] is parcel:
                del self._unsorted[0]

    def close(self) -> None:
        self._inbox.close()
        self.forget()

    def forget(self) -> None:
        while self._unsorted:
            self._unsorted.pop().close()
        while self._by_token:
            self._by_token.popitem()[1].close()


arrivals = PerProcess(Arrivals)
