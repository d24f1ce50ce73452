"""The programs in examples/python, with real connections."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import pytest

import sendfd
from conftest import file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Child

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "python"

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def start(*command: object, **environment: str) -> subprocess.Popen[str]:
        words = [str(word) for word in command]
        if words[0].endswith(".py"):
            words = [sys.executable, "-W", "error", str(EXAMPLES / words[0]), *words[1:]]
        environment = {**os.environ, **environment}
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(words, stdout=pipe, text=True, env=environment))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        file(process.stdout).close()


def line(process: subprocess.Popen[str]) -> str:
    return file(process.stdout).readline().rstrip("\n")


def get(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        assert response.status == 200
        return response.read().decode().rstrip("\n")
    finally:
        connection.close()


def test_a_worker_answers_what_it_is_handed(start: Start) -> None:
    worker = start("worker.py")
    assert line(worker) == f"worker {worker.pid} is ready"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def accept() -> None:
            for _ in range(20):
                connection, _ = listener.accept()
                with connection:
                    sendfd.send(worker.pid, connection)

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        expected = f"Python worker {worker.pid}, handed over by process {os.getpid()}"
        assert [get(port) for _ in range(20)] == [expected] * 20
        acceptor.join()
    # What is no socket does it no harm.
    reading, writing = os.pipe()
    sendfd.send(worker.pid, writing)
    os.close(writing)
    assert os.read(reading, 1) == b""
    os.close(reading)
    worker.send_signal(signal.SIGINT)
    assert worker.wait() == 0


def test_a_worker_behind_the_acceptor_in_c(start: Start, tmp_path: Path) -> None:
    library = ROOT / "build" / "libsendfd.so"
    source = ROOT / "examples" / "c" / "acceptor.c"
    if not library.exists() or shutil.which("cc") is None or not source.exists():
        pytest.skip("needs a C compiler, build/libsendfd.so and examples/c")
    program = tmp_path / "acceptor"
    build = f"cc -std=gnu11 -D_GNU_SOURCE -I include -o {program} {source} -L build -lsendfd"
    subprocess.run(build.split(), check=True, cwd=ROOT)
    workers = [start("worker.py") for _ in range(2)]
    for worker in workers:
        assert line(worker) == f"worker {worker.pid} is ready"
    pids = [worker.pid for worker in workers]
    acceptor = start(program, *pids, LD_LIBRARY_PATH=str(library.parent))
    port = int(line(acceptor).rpartition(" ")[2])
    answers = [get(port) for _ in range(10)]
    assert {int(answer.split()[2].rstrip(",")) for answer in answers} == set(pids)
    assert all(answer.endswith(f"by process {acceptor.pid}") for answer in answers)


def test_a_successor_takes_over_under_load(start: Start) -> None:
    server = start("successor.py")
    words = line(server).split()
    assert words[:3] == ["process", str(server.pid), "serves"]
    port = int(words[-1])
    answers: list[list[int]] = [[] for _ in range(4)]
    failures: list[Exception] = []
    stop = threading.Event()

    def load(mine: list[int]) -> None:
        while not stop.is_set():
            try:
                mine.append(int(get(port).split()[-1]))
            except Exception as error:
                failures.append(error)

    clients = [threading.Thread(target=load, args=(mine,)) for mine in answers]
    for client in clients:
        client.start()
    servers = [server]
    for _ in range(3):
        wait_for_answers(answers, servers[-1].pid)
        servers.append(start("successor.py", "--of", servers[-1].pid))
        assert line(servers[-1]) == f"process {servers[-1].pid} serves port {port}"
        assert servers[-2].wait() == 0
    wait_for_answers(answers, servers[-1].pid)
    stop.set()
    for client in clients:
        client.join()
    assert failures == []
    served = {pid for mine in answers for pid in mine}
    assert served == {server.pid for server in servers}


DIES_WITH_IT = """
import sendfd, sys
with sendfd.Inbox(), sendfd.request(int(sys.argv[1]), data=b"take over") as answer:
    print("has", len(answer), flush=True)
    sys.stdin.readline()
"""


def test_a_successor_that_dies_leaves_its_predecessor_serving(
    start: Start, child: Callable[..., Child]
) -> None:
    server = start("successor.py")
    port = int(line(server).split()[-1])
    successor = child(DIES_WITH_IT, server.pid)
    assert successor.said() == "has 1"
    assert get(port) == f"served by process {server.pid}"
    successor.kill()
    assert get(port) == f"served by process {server.pid}"
    # What asks for no answer, or for something else, does it no harm.
    sendfd.send(server.pid, data=b"take over")
    with pytest.raises(ConnectionResetError):
        sendfd.request(server.pid, data=b"something else", timeout=20)
    assert get(port) == f"served by process {server.pid}"
    heir = start("successor.py", "--of", server.pid)
    assert line(heir) == f"process {heir.pid} serves port {port}"
    assert server.wait() == 0
    assert get(port) == f"served by process {heir.pid}"


def test_descriptors_are_shared_by_label(start: Start, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("what is shared")
    keeper = start("share.py", "keep", f"notes={tmp_path / 'notes'}")
    assert line(keeper) == f"process {keeper.pid} keeps notes"
    (tmp_path / "notes").unlink()
    fetched = start("share.py", "fetch", keeper.pid, "notes")
    assert file(fetched.stdout).read() == "what is shared"
    assert fetched.wait() == 0
    assert start("share.py", "fetch", keeper.pid, "letters").wait() == 1


def wait_for_answers(answers: list[list[int]], pid: int) -> None:
    """Until every client has heard of that server often."""
    while min(mine.count(pid) for mine in answers) < 20:
        os.sched_yield()
