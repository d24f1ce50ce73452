"""What soak.h lays down, read from the files that the processes left."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

PAGE, SLOTS, MAX_INBOXES = 4096, 7, 65536
BOARD_SIZE = PAGE + MAX_INBOXES * 128
ABOUT, SENT = 1, 2
BY_OUTBOX = 2
NOTHING, ALL_TAKEN, SOME_LOST = range(3)
RUNNING, DRAINED, CLOSED, EXEC, EXIT, THREAD_END = range(6)
CAUSES = ["killed", "drained", "closed", "exec", "exit", "thread ended"]
COUNTERS = [
    "EAGAIN", "ETIMEDOUT", "ECONNREFUSED", "ESRCH", "EMFILE", "ETOOMANYREFS", "other errors",
    "forks", "execs", "exits", "reopened", "threads ended", "tables filled", "claimed",
    "nothing there", "SIGIO", "told taken", "told lost", "answered", "unanswered", "links",
]  # fmt: skip


@dataclass
class Inbox:
    index: int
    pid: int
    cause: int
    id: int
    signo: int
    slot: int
    consumers: int
    t_open: int
    t_ready: int
    t_leave: int
    t_gone: int
    inode: int
    start: int

    def names(self) -> set[str]:
        return {f"sendfd.1/{self.inode}/{self.signo}", f"sendfd.1/{self.id}.{self.start}/{self.signo}"}


@dataclass
class Sent:
    sender: int
    first: int
    count: int
    len: int
    inbox: int
    state: int
    thread: int
    way: int
    t0: int
    t1: int
    session: int = 0
    told: int = NOTHING


@dataclass
class Taken:
    first: int
    count: int
    len: int
    inbox: int
    pid: int
    uid: int


@dataclass
class Log:
    number: int
    pid: int
    kind: int
    t_begin: int
    ended: bool
    counters: dict[str, int]
    sent: list[Sent] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)


def inboxes(directory: Path) -> list[Inbox]:
    with (directory / "board").open("rb") as file:
        board = file.read(PAGE)
        count = struct.unpack_from("<I", board, 4)[0]
        board += file.read(128 * count)
    rows = (struct.unpack_from("<6I6Q", board, PAGE + 128 * i) for i in range(count))
    return [Inbox(i, *row) for i, row in enumerate(rows)]


def logs(directory: Path, role: str) -> list[Log]:
    found = []
    for path in directory.glob(f"{role}-*"):
        with path.open("rb") as file:
            data = file.read(PAGE)
            if len(data) < PAGE:
                continue  # killed before it was set up: nothing was sent yet
            pid, kind, rows, _, t_begin, ended, _ = struct.unpack_from("<4IQ2I", data)
            data += file.read(64 * rows)
        counters = dict(zip(COUNTERS, struct.unpack_from(f"<{len(COUNTERS)}Q", data, 32), strict=True))
        log = Log(int(path.name.split("-")[1]), pid, kind, t_begin, bool(ended), counters)
        for i in range(rows):
            if role == "sender":
                row = struct.unpack_from("<Q3Ii2I2Q2I", data, PAGE + 64 * i)
                if row[4]:
                    log.sent.append(Sent(log.number, *row))
            else:
                row = struct.unpack_from("<Q6I", data, PAGE + 64 * i)
                if row[6]:
                    log.taken.append(Taken(*row[:6]))
        found.append(log)
    return sorted(found, key=lambda log: log.number)
