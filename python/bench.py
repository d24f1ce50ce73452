"""Times sendfd against what CPython has, in the same run. Prints JSON, one line for each row.

python bench.py [--runs N] [--in-c LIBRARY]
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import pickle
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from functools import partial
from multiprocessing import Pipe, get_context, reduction
from typing import TYPE_CHECKING, Callable

import sendfd
import sendfd.multiprocessing

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


def time_of_one(call: Callable[[], object], times: int) -> float:
    """Microseconds of one call."""
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times * 1e6


def row(name: str, times: list[float], ratios: list[float], other: str) -> None:
    low, middle, high = statistics.quantiles(ratios, n=4)
    ns = statistics.median(times) * 1e3
    line = {"group": "python", "parameter": "", "name": name, "ns": round(ns, 1)}
    print(json.dumps({**line, "to": {other: [low, middle, high]}}), flush=True)


def compare(
    name: str, other: str, ours: Callable[[], float], theirs: Callable[[], float], runs: int
) -> None:
    """The two take turns, so that both see the same weather, and are compared turn by turn."""
    pairs = [(ours(), theirs()) for _ in range(runs)]
    row(name, [our for our, _ in pairs], [our / their for our, their in pairs], other)
    row(other, [their for _, their in pairs], [1.0 for _ in pairs], other)


Way = Callable[[], float]


def compare_all(other: str, ways: dict[str, Way], runs: int) -> None:
    """Several take turns, and each is compared with one of them."""
    times = [{name: way() for name, way in ways.items()} for _ in range(runs)]
    for name in ways:
        row(
            name,
            [turn[name] for turn in times],
            [turn[name] / turn[other] for turn in times],
            other,
        )


def one_process(runs: int, library: str | None) -> None:
    """send and recv in one process, on a connection that is ready."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    safe_left, safe_right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (safe_left, safe_right):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    with left, right, safe_left, safe_right, open(os.devnull) as file, sendfd.Inbox() as inbox:
        fd, pid = file.fileno(), os.getpid()

        def ours() -> None:
            sendfd.send(pid, fd)
            os.close(inbox.recv().detach()[0])

        def theirs() -> None:
            socket.send_fds(left, [b"x"], [fd])
            os.close(socket.recv_fds(right, 1, 1)[1][0])

        def safe() -> None:
            socket.send_fds(safe_left, [b"x"], [fd])
            os.close(looked_at(safe_right))

        def timed(call: Callable[[], None]) -> Way:
            return lambda: time_of_one(call, ROUNDS)

        ways = {"send + recv": timed(ours), "send_fds + recv_fds": timed(theirs), SAFE: timed(safe)}
        if library:
            hand = ctypes.CDLL(library)
            hand.set_up()
            ways[LIBRARY_IN_C] = in_c(hand.run_by_library, fd)
            ways[SAFE_IN_C] = in_c(hand.run_by_hand, fd)
        compare_all("send_fds + recv_fds", ways, runs)


ROUNDS = 2_000
SAFE = "send_fds, and a look and credentials by recvmsg"
LIBRARY_IN_C = "sendfd and sendfd_recv, in C"
SAFE_IN_C = "the calls of the safe way, in C"
LOOK = socket.MSG_PEEK | socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
CREDENTIALS = struct.Struct("3i")
CONTROL = socket.CMSG_SPACE(4) + socket.CMSG_SPACE(CREDENTIALS.size)


def looked_at(right: socket.socket) -> int:
    """What Inbox.recv() promises, by Python's own functions: a full table loses nothing."""
    _, ancillary, flags, _ = right.recvmsg(1, CONTROL, LOOK)
    fd = -1
    for _, kind, content in ancillary:
        if kind == socket.SCM_RIGHTS:
            (fd,) = struct.unpack("i", content)
        else:
            CREDENTIALS.unpack(content)
    if flags & socket.MSG_CTRUNC or fd < 0:
        raise OSError("no room")
    right.recv(1)
    return fd


def in_c(run: Callable[[int, int], object], fd: int) -> Way:
    """All rounds in one call: no Python."""

    def rounds() -> float:
        start = time.perf_counter()
        run(fd, ROUNDS)
        return (time.perf_counter() - start) / ROUNDS * 1e6

    return rounds


def echo(conn: Connection, parent: int, cpu: int) -> None:
    """Sends every handle back, until a pid of 0."""
    os.sched_setaffinity(0, {cpu})
    while conn.recv_bytes() == b"more":
        for _ in range(HANDLES):
            handle = reduction.recv_handle(conn)
            reduction.send_handle(conn, handle, parent)
            os.close(handle)


HANDLES = 500


def round_trips(conn: Connection, child: int) -> float:
    conn.send_bytes(b"more")
    with open(os.devnull) as file:
        fd = file.fileno()

        def once() -> None:
            reduction.send_handle(conn, fd, child)
            os.close(reduction.recv_handle(conn))

        return time_of_one(once, HANDLES)


def two_processes(runs: int) -> None:
    """Round trips of send_handle between two processes that share a core."""
    cpus = os.sched_getaffinity(0)
    cpu = min(cpus)
    os.sched_setaffinity(0, {cpu})
    times: dict[bool, Callable[[], float]] = {}
    children = []
    for installed in (False, True):
        if installed:
            sendfd.multiprocessing.install()
        here, there = Pipe()
        process = get_context("spawn").Process(target=echo, args=(there, os.getpid(), cpu))
        process.start()
        there.close()
        children.append((process, here))
        times[installed] = partial(switched, installed, here, process.pid or 0)
    compare("send_handle, installed", "send_handle, round trip", times[True], times[False], runs)
    for process, conn in children:
        conn.send_bytes(b"stop")
        process.join()
        conn.close()
    sendfd.multiprocessing.uninstall()
    os.sched_setaffinity(0, cpus)


def switched(on: bool, conn: Connection, child: int) -> float:
    if on:
        sendfd.multiprocessing.install()
    else:
        sendfd.multiprocessing.uninstall()
    return round_trips(conn, child)


def unpickle(conn: Connection, cpu: int) -> None:
    """Takes what is pickled out, and answers."""
    os.sched_setaffinity(0, {cpu})
    while message := conn.recv_bytes():
        os.close(pickle.loads(message).detach())
        conn.send_bytes(b"done")


def pickled(runs: int) -> None:
    """A descriptor pickled here and unpickled in another process, by DupFd."""
    cpus = os.sched_getaffinity(0)
    cpu = min(cpus)
    os.sched_setaffinity(0, {cpu})
    here, there = Pipe()
    process = get_context("spawn").Process(target=unpickle, args=(there, cpu))
    process.start()
    there.close()
    standard = reduction.DupFd
    with open(os.devnull) as file:

        def timed(make: Callable[[int], object]) -> Callable[[], float]:
            def once() -> None:
                here.send_bytes(reduction.ForkingPickler.dumps(make(file.fileno())))
                here.recv_bytes()

            return lambda: time_of_one(once, 200)

        ours = timed(sendfd.multiprocessing.DupFd)
        compare("sendfd's DupFd", "DupFd, pickled to unpickled", ours, timed(standard), runs)
    here.send_bytes(b"")
    process.join()
    here.close()
    sendfd.multiprocessing.uninstall()
    os.sched_setaffinity(0, cpus)


def imported(runs: int) -> None:
    """`import sendfd` with its bytecode, as it is installed, beside an interpreter without."""
    environment = {**os.environ}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def started(code: str) -> float:
        command = [sys.executable, "-c", code]
        return time_of_one(lambda: subprocess.run(command, check=True, env=environment), 1)

    with tempfile.TemporaryDirectory() as environment["PYTHONPYCACHEPREFIX"]:
        started("import sendfd")
        pairs = [(started("import sendfd"), started("pass")) for _ in range(runs)]
    cost = statistics.median(ours - nothing for ours, nothing in pairs)
    line = {"group": "python", "name": "import sendfd", "value": cost / 1e3, "unit": "ms"}
    print(json.dumps(line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--in-c", help="what bench/run builds from bench/python")
    options = parser.parse_args()
    runs = options.runs
    one_process(runs, options.in_c)
    two_processes(runs)
    pickled(runs)
    imported(runs)


if __name__ == "__main__":
    main()
