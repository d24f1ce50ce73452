"""Where the descriptors of tickets are kept until somebody asks for them."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import struct
import threading

from .. import Inbox
from ._process import PerProcess

SIGNO = 48
TOKEN = 16
HERE_IT_IS, UNKNOWN, REFUSED = b"\1", b"\0", b"\2"  # The last one is followed by an errno.
_INT = struct.Struct("i")


class Counter:
    """The descriptors that this process keeps, and the thread that hands them out."""

    def __init__(self) -> None:
        self._kept: dict[bytes, int] = {}
        self._asking: dict[int, socket.socket] = {}
        self._inbox = Inbox(SIGNO)
        self._closed, self._open = os.pipe()
        self._epoll = select.epoll()
        for source in (self._inbox, self._closed):
            self._epoll.register(source, select.EPOLLIN)
        self._thread = threading.Thread(target=self._serve, name="sendfd tickets", daemon=True)
        self._thread.start()

    def keep(self, fd: int) -> bytes:
        token = os.urandom(TOKEN)
        self._kept[token] = os.dup(fd)
        return token

    def take(self, token: bytes) -> int | None:
        return self._kept.pop(token, None)

    def _serve(self) -> None:
        # Signals are for the threads of the program.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            for fd, _ in self._epoll.poll():
                if fd == self._closed:
                    return
                if fd in self._asking:
                    self._answer(self._asking[fd])
                else:
                    self._welcome()

    def _welcome(self) -> None:
        try:
            request = self._inbox.recv(0)
        except BlockingIOError:
            return
        except OSError:
            # No room for a descriptor; the kernel does not tell when there is again.
            closed = select.poll()
            closed.register(self._closed, select.POLLIN)
            closed.poll(100)
            return
        with request:
            try:
                channel = request.socket()
            except OSError:
                return  # It is none.
        try:
            self._epoll.register(channel, select.EPOLLIN)
        except OSError:
            channel.close()  # No room for another one: who asks sees the end.
        else:
            self._asking[channel.fileno()] = channel

    def _answer(self, channel: socket.socket) -> None:
        try:
            token = channel.recv(TOKEN, socket.MSG_DONTWAIT)
            if token:
                self._hand_out(token, channel)
        except OSError:
            token = b""
        if not token:
            del self._asking[channel.fileno()]
            channel.close()

    def _hand_out(self, token: bytes, channel: socket.socket) -> None:
        fd = self.take(token)
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
        else:
            os.close(fd)

    def close(self) -> None:
        os.close(self._open)
        self._thread.join()
        self._inbox.close()
        os.close(self._closed)
        self._release()

    def forget(self) -> None:
        os.close(self._open)
        os.close(self._closed)
        self._release()

    def _release(self) -> None:
        self._epoll.close()
        while self._asking:
            self._asking.popitem()[1].close()
        while self._kept:
            os.close(self._kept.popitem()[1])


counter = PerProcess(Counter)
