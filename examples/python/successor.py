"""A server that hands its listening socket to its successor while it is in use.

    python successor.py [PORT]      serves, on a free port if none is given
    python successor.py --of PID    takes over from the one with that pid, which then ends

Clients notice nothing. The successor asks its predecessor for the listening socket. The predecessor
answers with it, and goes on serving until its successor does, which it learns from a second parcel
that the successor takes then. If the successor dies before, all is as it was. Then it stops
accepting, and ends when it has answered what it had accepted. What waits in the socket's queue is
accepted by the successor.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys

import sendfd
from http_line import answer

TAKE_OVER = b"take over"
HANDED_OVER = b"handed over"


class Server:
    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.listener.setblocking(False)
        self.running: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        asyncio.get_running_loop().add_reader(self.listener, self.accept)

    def accept(self) -> None:
        try:
            connection, _ = self.listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # The other server, if there are two at this moment, was faster.
        task = asyncio.create_task(answer(connection, f"served by process {os.getpid()}"))
        self.running.add(task)
        task.add_done_callback(self.running.discard)

    async def hand_over(self, request: sendfd.Parcel) -> None:
        with sendfd.Outbox(request.pid) as outbox:
            request.reply(self.listener)
            outbox.send(data=HANDED_OVER)
            await asyncio.wait_for(outbox.await_taken(), timeout=10)
        asyncio.get_running_loop().remove_reader(self.listener)
        self.listener.close()
        while self.running:
            await asyncio.wait(self.running)


def listener_of(predecessor: int) -> socket.socket:
    with sendfd.request(predecessor, data=TAKE_OVER, timeout=10) as answer:
        return answer.socket()


async def main(arguments: list[str]) -> None:
    with sendfd.Inbox() as inbox:
        if arguments[:1] == ["--of"]:
            listener = listener_of(int(arguments[1]))
        else:
            port = int(arguments[0]) if arguments else 0
            listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        server = Server(listener)
        server.start()
        print(f"process {os.getpid()} serves port {listener.getsockname()[1]}", flush=True)
        async for parcel in inbox:
            with parcel:
                if parcel.data != TAKE_OVER or not parcel.wants_reply or parcel.uid != os.getuid():
                    continue
                try:
                    await server.hand_over(parcel)
                except (OSError, asyncio.TimeoutError) as error:
                    print(f"process {parcel.pid} does not take over: {error}", file=sys.stderr)
                else:
                    return


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
