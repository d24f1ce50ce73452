"""A peer that runs: it is told to send, and says what it received."""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import subprocess
import threading
from pathlib import Path

PATIENCE = 30
# One number has two names.
ERRORS = {**errno.errorcode, errno.EOPNOTSUPP: "EOPNOTSUPP"}


class EngineFailed(Exception):
    """The engine did not run the program at all."""


class Peer:
    """The words run peer.c somewhere. Its address is that of its inbox."""

    def __init__(self, name: str, words: list[str]) -> None:
        self.name = name
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/"
        )
        self.said: queue.Queue[list[str]] = queue.Queue()
        self.got: queue.Queue[list[str]] = queue.Queue()
        self.complaints: list[str] = []
        self.readers = [threading.Thread(target=read, daemon=True) for read in (self._listen, self._hear_complaints)]
        for reader in self.readers:
            reader.start()
        if self._answer() != ["here"]:
            self.process.kill()
            self.readers[1].join(PATIENCE)
            raise EngineFailed(self.complaints[-1] if self.complaints else f"ended with {self.process.wait()}")
        ready = self._answer()
        if ready[0] != "ready":
            raise AssertionError(f"{name} says: {' '.join(ready)}")
        self.address = ready[1]
        self.host_pid = _find(self.address)

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            words = line.split()
            (self.got if words[:1] == ["got"] else self.said).put(words)
        self.said.put(["ended"])

    def _hear_complaints(self) -> None:
        assert self.process.stderr
        self.complaints.extend(line.strip() for line in self.process.stderr if line.strip())

    def _answer(self) -> list[str]:
        return self.said.get(timeout=PATIENCE)

    def order(self, *words: object) -> list[str]:
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(" ".join(map(str, words)) + "\n")
            self.process.stdin.flush()
        return self._answer()

    def send(self, how: str, whom: object, text: str) -> str:
        """`sent`, or the name of the error."""
        answer = self.order(how, whom, text)
        if answer[0] == "failed":
            return ERRORS[int(answer[1])]
        return " ".join(answer)

    def received(self) -> list[str]:
        """PID UID GID TEXT of what came first."""
        return self.got.get(timeout=PATIENCE)[1:]

    def pid_seen_by(self, other: Peer) -> int:
        """This one's pid in the other's namespace; 0: not visible there."""
        if not self.host_pid or not other.host_pid:
            return 0
        pids = _status(self.host_pid, "NSpid")
        if _pid_namespace(other.host_pid) == _pid_namespace("self"):
            return int(pids[0])
        return int(pids[-1]) if _pid_namespace(other.host_pid) == _pid_namespace(self.host_pid) else 0

    def rest(self) -> list[list[str]]:
        """Ends its receiving: what it got that nobody has looked at."""
        if self.order("end") != ["end"]:
            return [["broken"]]
        return [self.got.get() for _ in range(self.got.qsize())]


def _find(address: str) -> int:
    """The process of an inbox, by the inode in its address. 0: there is none, its kernel is another one."""
    inode = address.split("/")[1]
    for entry in os.listdir("/proc"):
        with contextlib.suppress(ValueError, OSError):
            pidfd = os.pidfd_open(int(entry))
            try:
                if inode == str(os.fstat(pidfd).st_ino):
                    return int(entry)
            finally:
                os.close(pidfd)
    return 0


def _status(pid: int, key: str) -> list[str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1:] for line in lines if line.startswith(key + ":"))


def _pid_namespace(pid: int | str) -> str:
    return os.readlink(f"/proc/{pid}/ns/pid")
