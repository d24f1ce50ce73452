"""sendfd.multiprocessing in packages that are made like multiprocessing; and its end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from multiprocessing import reduction, resource_sharer
from typing import Any

import pytest

import sendfd.multiprocessing
from conftest import content, open_descriptors, pipe_with

pytestmark = pytest.mark.usefixtures("uninstalled")


def test_the_thread_ends_with_that_of_the_standard_way(installed: None) -> None:
    before = open_descriptors()
    reading, writing = os.pipe()
    for _ in range(2):
        reduction.DupFd(writing)
        assert [t.name for t in threading.enumerate()].count("sendfd tickets") == 1
        resource_sharer.stop(timeout=10)
        assert threading.active_count() == 1
    os.close(writing)
    assert os.read(reading, 1) == b""
    os.close(reading)
    assert open_descriptors() == before
    # It begins anew.
    fd = pipe_with(b"later")
    ticket = reduction.DupFd(fd)
    os.close(fd)
    assert content(ticket.detach()) == b"later"


def test_uninstall_puts_back_stop() -> None:
    standard = resource_sharer.stop
    sendfd.multiprocessing.install()
    sendfd.multiprocessing.uninstall()
    assert resource_sharer.stop is standard


PROGRAM = """
import importlib, os, socket, sys
import sendfd
import sendfd.multiprocessing as ours

def there(name, conn, queue):
    reduction = importlib.import_module(".reduction", name)
    assert reduction.send_handle is ours.send_handle
    # By pid, so nothing but a token comes over the connection.
    with socket.socket(fileno=os.dup(conn.fileno())) as stream:
        message, control, _, _ = stream.recvmsg(100, socket.CMSG_LEN(4), socket.MSG_PEEK)
    assert (len(message), control) == (17, []), (message, control)
    handle = reduction.recv_handle(conn)
    os.write(handle, b"handle ")
    os.close(handle)
    with queue.get() as left:
        left.sendall(b"queue")

if __name__ == "__main__":
    name, method = sys.argv[1:]
    package = importlib.import_module(name)
    ours.install(package)
    reduction = importlib.import_module(".reduction", name)
    context = package.get_context(method)
    here, end = package.Pipe()
    queue = context.SimpleQueue()
    process = context.Process(target=there, args=(name, end, queue))
    process.start()
    left, right = socket.socketpair()
    # Until the child has an inbox, it would go over the connection.
    while True:
        try:
            sendfd.send(process.pid, right, signal=49, data=b"no token")
            break
        except ConnectionRefusedError:
            os.sched_yield()
    reduction.send_handle(here, right.fileno(), process.pid)
    queue.put(right)
    right.close()
    said = b""
    while part := left.recv(100):
        said += part
    assert said == b"handle queue", said
    process.join()
    assert process.exitcode == 0, process.exitcode
    ticket = reduction.DupFd(0)
    assert type(ticket).__module__ == "sendfd.multiprocessing._tickets"
    ours.uninstall()
    assert reduction.send_handle is not ours.send_handle
    print("ok")
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("name", ["multiprocessing", "multiprocess", "billiard"])
def test_packages(name: str, method: str, tmp_path: Any) -> None:
    pytest.importorskip(name)
    if name == "billiard" and method != "fork" and sys.version_info < (3, 10):
        pytest.skip("billiard's children do not find what the main module defines")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, program, name, method]
    done = subprocess.run(command, capture_output=True, text=True, timeout=40)
    assert (done.stdout, done.returncode) == ("ok\n", 0), done.stderr


EXITING = """
import multiprocess.util
import atexit, socket, sys

def redeem(queue, gate):
    gate.recv_bytes()
    with queue.get() as left:
        left.sendall(b"in time")

context = multiprocess.get_context("fork")
here, there = context.Pipe()
# What is registered first runs last: multiprocessing's exit before this, multiprocess's after it.
atexit.register(here.send_bytes, b"going")
import sendfd.multiprocessing
sendfd.multiprocessing.install(multiprocess)
queue = context.SimpleQueue()
process = context.Process(target=redeem, args=(queue, there))
process.start()
kept = socket.socket(fileno=int(sys.stdin.readline()))
queue.put(kept)
kept.close()
"""


def test_children_of_another_package_may_ask_while_their_parent_exits() -> None:
    pytest.importorskip("multiprocess")
    left, right = socket.socketpair()
    command = [sys.executable, "-c", EXITING]
    with left, right:
        right.set_inheritable(True)
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, text=True, pass_fds=[right.fileno()]
        )
        process.communicate(f"{right.fileno()}\n")
        right.close()
        assert process.returncode == 0
        assert left.recv(100) == b"in time"
