"""What the tests share: other processes, and a count of descriptors before and after."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from multiprocessing import forkserver, resource_tracker
from typing import IO, TYPE_CHECKING, Callable

import pytest

import sendfd
import sendfd.multiprocessing

if TYPE_CHECKING:
    from collections.abc import Iterator

# In the background of a shell it is ignored, also by the processes that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def open_descriptors() -> set[int]:
    """Those of the program; the library keeps its own out of the way, at 1024 and above."""
    return {fd for fd in map(int, os.listdir("/proc/self/fd")) if fd < 1024} - {least_free()}


def wait_until_asleep(pid: int) -> None:
    """Until it waits in the kernel, so that what comes finds it there."""
    while True:
        with open(f"/proc/{pid}/stat") as stat:
            if stat.read().rpartition(")")[2].split()[0] == "S":
                return
        os.sched_yield()


def least_free() -> int:
    fd = os.dup(0)
    os.close(fd)
    return fd


def pipe_with(text: bytes) -> int:
    """The end to read `text` from."""
    reading, writing = os.pipe()
    os.write(writing, text)
    os.close(writing)
    return reading


def content(fd: int) -> bytes:
    with open(fd, "rb") as file:
        return file.read()


def resident_pages() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1])


@pytest.fixture(scope="session")
def _helpers_of_multiprocessing() -> None:
    """Once they run, they stay, with a descriptor each."""
    forkserver.ensure_running()
    resource_tracker.ensure_running()


@pytest.fixture(autouse=True)
def _nothing_is_left_open(_helpers_of_multiprocessing: None) -> Iterator[None]:
    before = open_descriptors()
    threads = threading.active_count()
    yield
    gc.collect()
    assert open_descriptors() == before
    assert threading.active_count() == threads


@pytest.fixture
def uninstalled(_nothing_is_left_open: None) -> Iterator[None]:
    yield
    sendfd.multiprocessing.uninstall()
    gc.collect()


@pytest.fixture
def installed() -> None:
    sendfd.multiprocessing.install()


@pytest.fixture
def inbox() -> Iterator[sendfd.Inbox]:
    with sendfd.Inbox() as inbox:
        yield inbox


class Child:
    """A fresh interpreter that runs `code`; it says lines and can be told lines."""

    def __init__(self, code: str, *arguments: object) -> None:
        command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.pid = self.process.pid

    def said(self) -> str:
        """The next line that it says, without its end; empty if it says nothing any more."""
        return file(self.process.stdout).readline().rstrip("\n")

    def tell(self, line: str = "") -> None:
        stdin = file(self.process.stdin)
        stdin.write(line + "\n")
        stdin.flush()

    def ends(self) -> int:
        """Waits for its end; what it returns."""
        file(self.process.stdin).close()
        return self.process.wait()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def clean_up(self) -> None:
        self.kill()
        for stream in (self.process.stdin, self.process.stdout):
            file(stream).close()


def file(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


@pytest.fixture
def child() -> Iterator[Callable[..., Child]]:
    children: list[Child] = []

    def start(code: str, *arguments: object) -> Child:
        children.append(Child(code, *arguments))
        return children[-1]

    yield start
    for started in children:
        started.clean_up()


@pytest.fixture
def in_fork() -> Callable[[Callable[[], None]], int]:
    """Runs a function in a forked child; the exit code of the child, or minus a signal."""

    def run(function: Callable[[], None]) -> int:
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                signal.alarm(20)
                function()
                code = 0
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    return run
