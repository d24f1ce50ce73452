"""Between Python and programs in C that use the library."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sendfd

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "build" / "libsendfd.so"

pytestmark = [
    pytest.mark.skipif(not LIBRARY.exists(), reason="build/libsendfd.so has not been built"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler"),
]

# Sends a pipe, with data, to the pid in its argument; writes into the pipe afterwards.
SENDER = r"""
#include <sendfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int ends[2];

    if (argc != 2 || pipe(ends) < 0 ||
        sendfds(atoi(argv[1]), SENDFD_SIGNO, ends, 1, "from C", 6, NULL) < 0) {
        perror("sendfds");
        return 1;
    }
    return write(ends[1], "through a pipe", 14) != 14;
}
"""

# Says that it is ready, takes one parcel and prints what comes out of its descriptor.
RECEIVER = r"""
#include <sendfd.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    sendfd_inbox *inbox;
    sendfd_info info;
    char data[100], text[100];
    int fd, n;

    if (sendfd_inbox_open(SENDFD_SIGNO, 0, &inbox) < 0)
        return 1;
    puts("ready");
    fflush(stdout);
    n = sendfd_recvs(inbox, &fd, 1, data, sizeof data, &info, NULL);
    if (n != 1 || (n = (int)read(fd, text, sizeof text)) < 0)
        return 2;
    printf("%d %.*s %.*s\n", (int)info.pid, (int)info.len, data, n, text);
    sendfd_inbox_close(inbox);
    return 0;
}
"""


@pytest.fixture
def build(tmp_path: Path) -> Iterator[list[str]]:
    """How to compile `program` from standard input; leaves nothing in the environment."""
    library = str(LIBRARY.parent)
    before = os.environ.get("LD_LIBRARY_PATH")
    os.environ["LD_LIBRARY_PATH"] = library
    program = str(tmp_path / "program")
    yield ["cc", "-std=gnu99", "-Wall", "-Werror", "-I", str(ROOT / "include"), "-o", program,
           "-x", "c", "-", "-L", library, "-lsendfd"]  # fmt: skip
    if before is None:
        del os.environ["LD_LIBRARY_PATH"]
    else:
        os.environ["LD_LIBRARY_PATH"] = before


def test_from_c_to_python(inbox: sendfd.Inbox, build: list[str], tmp_path: Path) -> None:
    subprocess.run(build, input=SENDER, text=True, check=True)
    with subprocess.Popen([tmp_path / "program", str(os.getpid())]) as sender:
        with inbox.recv(timeout=20) as parcel, parcel.open() as file:
            assert (parcel.data, parcel.pid, parcel.uid) == (b"from C", sender.pid, os.getuid())
            assert file.read() == "through a pipe"
        assert sender.wait() == 0


def test_from_python_to_c(build: list[str], tmp_path: Path) -> None:
    subprocess.run(build, input=RECEIVER, text=True, check=True)
    command = [tmp_path / "program"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == "ready\n"
        reading, writing = os.pipe()
        sendfd.send(receiver.pid, reading, data=b"from Python")
        os.close(reading)
        os.write(writing, b"through a pipe")
        os.close(writing)
        assert receiver.stdout.read() == f"{os.getpid()} from Python through a pipe\n"
        assert receiver.wait() == 0
