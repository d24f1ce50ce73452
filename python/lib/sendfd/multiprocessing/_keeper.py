"""Where the descriptors of tickets are kept until somebody asks for them."""

from __future__ import annotations

import _thread
import contextlib
import errno
import itertools
import os
import select
import signal
import socket
import struct
import sys
import threading

# A signal handler that raises can lose what socketpair() of the module socket has made.
from _socket import socketpair
from typing import Any

from .. import Inbox
from ._interrupts import into
from ._process import PerProcess, creating

SIGNO = 48
TOKEN = 16
HERE_IT_IS, UNKNOWN, REFUSED = b"\1", b"\0", b"\2"  # The last one is followed by an errno.
_INT = struct.Struct("i")
_AGAIN = 0.1  # seconds, after which it is seen whether there is room in a table that was full


class Keeper:
    """The descriptors that this process keeps, and the thread that hands them out."""

    def __init__(self) -> None:
        self._kept: dict[bytes, int] = {}
        self._channels: dict[int, socket.socket] = {}
        # Given up to let a question in where the table is full; each answer makes room again.
        self._spare: list[int] = []
        self._inbox_rests = False
        self._ending = False
        self._pair: list[tuple[socket.SocketType, socket.SocketType]] = []
        self._parts: list[Any] = []
        self._launched: list[int] = []
        self._thread = threading.Thread(target=self._serve, name="sendfd tickets", daemon=True)
        self._begun, self._ended = threading.Lock(), threading.Lock()
        for lock in (self._begun, self._ended):
            lock.acquire()
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        into(self._parts, Inbox, SIGNO)
        into(self._parts, select.epoll)
        into(self._pair, socketpair)
        self._inbox, self._epoll = self._parts
        self._stopped, self._stop = self._pair[0]
        for source in (self._inbox, self._stopped):
            self._epoll.register(source, select.EPOLLIN)
        self._have_a_spare()
        # By another thread: a signal handler that raises must not come between.
        into(self._launched, _thread.start_new_thread, self._start, ())
        self._begun.acquire()

    def _start(self) -> None:
        try:
            self._thread.start()
        except BaseException:
            self._begun.release()
            self._ended.release()
            raise

    def keep(self, token: bytes, fd: int) -> None:
        """Keeps a duplicate; or not, if anything is raised, by a signal handler for instance."""
        try:
            with creating:
                # Within one function that is written in C, as into() explains.
                self._kept.update(zip((token,), map(os.dup, (fd,))))
        except BaseException:
            self.drop(token)
            raise

    def take(self, token: bytes, box: list[int | None]) -> None:
        """Puts the descriptor into `box`, None if it is not here (any more)."""
        into(box, self._kept.pop, token, None)

    def drop(self, token: bytes) -> None:
        box: list[int | None] = []
        try:
            self.take(token, box)
        finally:
            if box and box[0] is not None:
                os.close(box[0])

    def _serve(self) -> None:
        # Signals are for the threads of the program.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self._begun.release()
        try:
            while not self._ending and self._attend():
                pass
        except (OSError, ValueError):
            if not self._ending:  # Nor was anything closed meanwhile, then.
                raise
        finally:
            # However it ends, who asks is not left waiting.
            self._inbox.close()
            while self._channels:
                _end(self._channels.popitem()[1])
            self._ended.release()

    def _attend(self) -> bool:
        rested = self._inbox_rests
        events = self._epoll.poll(_AGAIN if rested else None)
        if self._ending:
            return False
        if rested:
            self._let_rest(False)
        for fd, _ in events:
            channel = self._channels.get(fd)
            try:
                if channel is None:
                    self._welcome()
                else:
                    self._answer(channel)
            except Exception:
                # One question is not answered; the others are.
                threading.excepthook(threading.ExceptHookArgs([*sys.exc_info(), self._thread]))
                if channel is None:
                    self._let_rest(True)
                else:
                    self._hang_up(channel)
        self._have_a_spare()
        return True

    def _let_rest(self, rests: bool) -> None:
        self._inbox_rests = rests
        self._epoll.modify(self._inbox, 0 if rests else select.EPOLLIN)

    def _have_a_spare(self) -> None:
        if not self._spare:
            with contextlib.suppress(OSError):  # There may be room after the next answer.
                into(self._spare, os.dup, self._stopped.fileno())

    def _welcome(self) -> None:
        try:
            self._accept()
        except BlockingIOError:
            pass
        except OSError:
            # No room for a descriptor; the kernel does not tell when there is again.
            if self._spare:
                os.close(self._spare.pop())
                self._welcome()
            else:
                self._let_rest(True)

    def _accept(self) -> None:
        with creating, self._inbox.recv(0) as request:
            try:
                channel = request.socket()
            except (OSError, ValueError):
                return  # It is none.
            try:
                self._epoll.register(channel, select.EPOLLIN)
            except OSError:
                channel.close()  # No room for another one: who asks sees the end.
            else:
                self._channels[channel.fileno()] = channel

    def _answer(self, channel: socket.socket) -> None:
        try:
            token = channel.recv(TOKEN, socket.MSG_DONTWAIT)
            if token:
                self._hand_out(token, channel)
        except BlockingIOError:
            return
        except OSError:
            token = b""
        if not token:
            self._hang_up(channel)

    def _hang_up(self, channel: socket.socket) -> None:
        self._channels.pop(channel.fileno(), None)
        _end(channel)

    def _hand_out(self, token: bytes, channel: socket.socket) -> None:
        fd = self._kept.pop(token, None)
        if fd is None:
            channel.send(UNKNOWN, socket.MSG_DONTWAIT)
            return
        try:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, _INT.pack(fd))
            channel.sendmsg([HERE_IT_IS], [rights], socket.MSG_DONTWAIT)
        except ConnectionError:
            os.close(fd)  # Nobody is there any more to take it.
            raise
        except OSError as error:
            # Too many are in flight, mostly. It may be asked for again.
            self._kept[token] = fd
            channel.send(REFUSED + bytes([error.errno or errno.EIO]), socket.MSG_DONTWAIT)
        except BaseException:
            self._kept[token] = fd
            raise
        else:
            os.close(fd)

    def close(self) -> None:
        self._ending = True
        for _, stop in self._pair:
            # Not by closing an end: a child may have inherited it.
            stop.shutdown(socket.SHUT_WR)
        if self._launched and threading.get_ident() != self._thread.ident:
            # Before its descriptors may mean something else.
            with self._ended, contextlib.suppress(RuntimeError):  # It could not be started.
                self._thread.join()
        self.forget()

    def forget(self) -> None:
        for part in self._parts:
            part.close()
        for end in itertools.chain(*self._pair):
            end.close()
        while self._channels:
            self._channels.popitem()[1].close()
        while self._spare:
            os.close(self._spare.pop())
        while self._kept:
            os.close(self._kept.popitem()[1])


def _end(channel: socket.socket) -> None:
    """Also where a child that is forked right now inherits it."""
    with contextlib.suppress(OSError):
        channel.shutdown(socket.SHUT_RDWR)
    channel.close()


keeper = PerProcess(Keeper)
