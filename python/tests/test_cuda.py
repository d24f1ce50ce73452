"""examples/python/cuda_share.py: memory of a GPU, between processes that are no relatives."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import pytest

if TYPE_CHECKING:
    from conftest import Child

EXAMPLE = Path(__file__).parents[2] / "examples" / "python" / "cuda_share.py"
SCOPE = Path("/proc/sys/kernel/yama/ptrace_scope")

HAS_GPU = """
from cuda.bindings import driver
result, = driver.cuInit(0)
assert result == driver.CUresult.CUDA_SUCCESS, result
"""

# Becomes a Python without the capability by which root traces everybody.
WITHOUT_CAPABILITY = """
import ctypes, os, sys
PR_CAPBSET_DROP, CAP_SYS_PTRACE = 24, 19
if os.geteuid() == 0:
    assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_PTRACE, 0, 0, 0) == 0
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""

UNDUMPABLE = """
import ctypes, runpy, sys
PR_SET_DUMPABLE = 4
assert ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""

# What the kernel says to pidfd_getfd(): of the process itself first, then of the one named.
PROBE = """
import ctypes, os, sys
SYS_pidfd_open, SYS_pidfd_getfd = 434, 438
libc = ctypes.CDLL(None, use_errno=True)
for pid in os.getpid(), int(sys.argv[1]):
    pidfd = libc.syscall(SYS_pidfd_open, pid, 0)
    assert pidfd >= 0, ctypes.get_errno()
    print(0 if libc.syscall(SYS_pidfd_getfd, pidfd, 0, 0) >= 0 else ctypes.get_errno(), flush=True)
"""

Start = Callable[..., "Child"]


@pytest.fixture(scope="module", autouse=True)
def _gpu() -> None:
    tried = subprocess.run([sys.executable, "-c", HAS_GPU], capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(f"needs cuda-python and a GPU of NVIDIA: {tried.stderr.splitlines()[-1]}")


def finished(process: Child) -> str:
    said = process.said()
    assert process.ends() == 0
    return said


def test_gpu_memory_is_shared_by_label(child: Start) -> None:
    keeper = child(WITHOUT_CAPABILITY, EXAMPLE, "keep", "weights=hello", "bias=other")
    assert keeper.said() == f"process {keeper.pid} keeps weights, bias"
    read = (WITHOUT_CAPABILITY, EXAMPLE, "read", keeper.pid)
    assert finished(child(*read, "weights")) == "hello"
    finished(child(WITHOUT_CAPABILITY, EXAMPLE, "write", keeper.pid, "weights", "goodbye"))
    assert finished(child(*read, "weights")) == "goodbye"
    assert finished(child(*read, "bias")) == "other"
    assert child(*read, "heights").ends() == 1


@pytest.mark.parametrize("how", ["ptrace_scope", "undumpable"])
def test_it_takes_no_right_to_trace_the_keeper(child: Start, how: str) -> None:
    keep: list[object] = [EXAMPLE, "keep", "weights=hello"]
    if how == "undumpable":
        keep[:0] = ["-c", UNDUMPABLE]
    elif not SCOPE.exists() or SCOPE.read_text().strip() == "0":
        pytest.skip("needs a kernel with Yama, and kernel.yama.ptrace_scope above 0")
    keeper = child(WITHOUT_CAPABILITY, *keep)
    assert keeper.said() == f"process {keeper.pid} keeps weights"
    probe = child(WITHOUT_CAPABILITY, "-c", PROBE, keeper.pid)
    assert [probe.said(), probe.said()] == ["0", str(errno.EPERM)]
    assert finished(child(WITHOUT_CAPABILITY, EXAMPLE, "read", keeper.pid, "weights")) == "hello"
