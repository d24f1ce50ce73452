"""A worker that is handed TCP connections by pid, and answers each with a line that names it.

It never listens and knows nothing of who accepts; see examples/c/acceptor.c for one who does.

Usage: python worker.py
"""

from __future__ import annotations

import asyncio
import contextlib
import os

import sendfd
from http_line import answer


async def main() -> None:
    running: set[asyncio.Task[None]] = set()
    with sendfd.Inbox() as inbox:
        print(f"worker {os.getpid()} is ready", flush=True)
        async for parcel in inbox:
            with parcel:
                try:
                    connection = parcel.socket()
                except OSError:
                    continue  # no socket
            line = f"Python worker {os.getpid()}, handed over by process {parcel.pid}"
            task = asyncio.create_task(answer(connection, line))
            running.add(task)
            task.add_done_callback(running.discard)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
