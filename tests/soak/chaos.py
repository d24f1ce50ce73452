"""Keeps senders and receivers running, and does to them what must not matter."""

from __future__ import annotations

import ctypes
import mmap
import os
import random
import signal
import struct
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import layout
from account import Death

if TYPE_CHECKING:
    from collections.abc import Callable

PR_SET_CHILD_SUBREAPER = 36
PATIENCE = 60


@dataclass
class Role:
    name: str
    command: list[str]
    kind: int
    pid: int = 0
    wake: float = 0  # when it is continued; 0: it runs
    done: bool = False


def now() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


class Chaos:
    def __init__(self, directory: Path, senders: list[tuple[str, int]], receiver: str, dice: random.Random) -> None:
        self.directory, self.dice = directory, dice
        self.senders = [Role("sender", [path], kind) for path, kind in senders]
        self.receivers = [Role("receiver", [receiver], kind) for kind in range(4)]
        self.roles = self.senders + self.receivers
        self.started = 0
        self.deaths: list[Death] = []
        self.killed: dict[int, int] = {}
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []
        # Orphans of killed senders and receivers become ours, so that their end is seen.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        for fd in map(int, os.listdir("/proc/self/fd")):
            if fd > 2:
                try:
                    os.set_inheritable(fd, False)
                except OSError:
                    pass  # that of the listing
        with (directory / "board").open("w+b") as file:
            file.truncate(layout.BOARD_SIZE)
            self.board = mmap.mmap(file.fileno(), layout.PAGE)
        self.nothing = os.open(os.devnull, os.O_RDWR)

    def received(self) -> int:
        return int(struct.unpack_from("<Q", self.board, 8)[0])

    def told(self) -> int:
        return int(struct.unpack_from("<Q", self.board, 48)[0])

    def set_phase(self, phase: int) -> None:
        struct.pack_into("<I", self.board, 0, phase)

    def start(self, role: Role) -> None:
        self.started += 1
        base, seed = self.started * 10_000, self.dice.getrandbits(32)
        argv = [role.name, str(self.directory), str(role.kind), str(base), str(seed)]
        actions = [(os.POSIX_SPAWN_DUP2, self.nothing, 0)]
        role.pid = os.posix_spawn(role.command[0], argv, os.environ, file_actions=actions)
        role.wake = 0

    def reap(self) -> bool:
        """Takes note of who has ended; False: no children are left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            self.deaths.append(Death(pid, self.killed.pop(pid, now()), now()))
            by = os.waitstatus_to_exitcode(status)
            role = next((role for role in self.roles if role.pid == pid), None)
            if by != 0 and (by != -signal.SIGKILL or role is None):
                who = f"{role.name} of kind {role.kind}" if role else "a forked child"
                self.violations.append(f"pid {pid}, {who}, ended with {by}")
            if role is not None:
                role.pid, role.done = 0, True

    def run(self, enough: Callable[[], bool]) -> None:
        for role in self.receivers + self.senders:
            self.start(role)
        progress, since = 0, time.monotonic()
        while not enough():
            self.reap()
            for role in self.roles:
                if role.pid == 0:
                    self.counts["restarts"] += 1
                    self.start(role)
                elif role.wake and role.wake <= time.monotonic():
                    os.kill(role.pid, signal.SIGCONT)
                    role.wake = 0
            self.strike(self.dice.choice(self.roles))
            calm = self.dice.random() < 0.02
            time.sleep(self.dice.uniform(0.5, 1.5) if calm else self.dice.uniform(0.005, 0.06))
            if self.received() > progress:
                progress, since = self.received(), time.monotonic()
            elif time.monotonic() - since > PATIENCE:
                self.violations.append(f"nothing was received for {PATIENCE} seconds")
                break
        self.settle()

    def strike(self, role: Role) -> None:
        if role.pid == 0:
            return
        if self.dice.random() < 0.4:
            self.counts["stops"] += 1
            os.kill(role.pid, signal.SIGSTOP)
            role.wake = time.monotonic() + self.dice.uniform(0.001, 0.25)
        else:
            self.counts[f"kills of {role.name}s" + (" while stopped" if role.wake else "")] += 1
            self.killed.setdefault(role.pid, now())
            os.kill(role.pid, signal.SIGKILL)

    def settle(self) -> None:
        """Senders end first, so that receivers can tell when they have everything."""
        self.reap()
        for role in self.roles:
            if role.pid and role.wake:
                os.kill(role.pid, signal.SIGCONT)
        for role in self.receivers:
            if role.pid == 0:
                self.start(role)
        self.set_phase(1)
        self.wait_for(self.senders)
        # Children of senders may still send; those of receivers end on their own.
        deadline = time.monotonic() + PATIENCE
        ours = {role.pid for role in self.receivers}
        while set(children()) - ours and time.monotonic() < deadline:
            self.reap()
            time.sleep(0.005)
        for role in self.receivers:
            role.done = False
            if role.pid == 0:
                self.start(role)
        self.set_phase(2)
        self.wait_for(self.receivers)
        deadline = time.monotonic() + PATIENCE
        while self.reap() and time.monotonic() < deadline:
            time.sleep(0.005)
        self.kill_all()

    def wait_for(self, roles: list[Role]) -> None:
        deadline = time.monotonic() + PATIENCE
        while any(role.pid for role in roles):
            self.reap()
            if time.monotonic() > deadline:
                for role in roles:
                    if role.pid:
                        self.violations.append(f"{role.name} of kind {role.kind} does not end: {state_of(role.pid)}")
                break
            time.sleep(0.005)

    def kill_all(self) -> None:
        for pid in children():
            self.violations.append(f"pid {pid} is left: {state_of(pid)}")
        self.abandon()

    def abandon(self) -> None:
        while self.reap():
            for pid in children():
                self.killed.setdefault(pid, now())
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)


def children() -> list[int]:
    return [int(pid) for pid in Path("/proc/thread-self/children").read_text().split()]


def state_of(pid: int) -> str:
    texts = []
    for what in Path(f"/proc/{pid}/task").glob("*/syscall"):
        try:
            texts.append(what.read_text().strip())
        except OSError as error:
            texts.append(str(error))
    return "; ".join(texts)
