"""The least of HTTP/1.1 that the examples need: a GET is answered with one line."""

from __future__ import annotations

import asyncio
import socket


async def answer(connection: socket.socket, line: str) -> None:
    """Reads a request from the connection, answers it, and closes the connection."""
    reader, writer = await asyncio.open_connection(sock=connection)
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), timeout=10)
        status = "200 OK" if head.startswith(b"GET ") else "405 Method Not Allowed"
        body = f"{line}\n".encode()
        writer.write(
            f"HTTP/1.1 {status}\r\n"
            "Content-Type: text/plain\r\n"
            f"Content-Length: {len(body)}\r\n"
            "Connection: close\r\n"
            "\r\n".encode()
            + body
        )
        await writer.drain()
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.TimeoutError, OSError):
        pass  # That client gets no answer; the others do.
    finally:
        writer.close()
