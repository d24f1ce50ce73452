"""What examples/containers says, done with podman as it stands there."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import engines
import sandbox

TOP = Path(__file__).resolve().parents[2]
EXAMPLES = TOP / "examples/containers"
LIMIT = 60


def _do(*words: object) -> str:
    """What it prints; its complaint where it fails."""
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=LIMIT, env=_environment(), check=False)
    return (done.stdout if done.returncode == 0 else done.stderr).strip()


def _environment() -> dict[str, str]:
    """With `podman` as in the examples, that leaves its cgroups where this test removes them, and with `sendfd`."""
    programs = sandbox.PLACE / "bin"
    if not programs.exists():
        programs.mkdir()
        (programs / "sendfd").symlink_to(TOP / "build/cli/sendfd")
        podman = programs / "podman"
        podman.write_text(
            f"""#!/bin/sh
[ "$1" != run ] || {{ shift; set -- run --cgroup-parent={sandbox.cgroup()} "$@"; }}
exec {engines.PODMAN} "$@"
"""
        )
        podman.chmod(0o755)
    return {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}


def web() -> str:
    """A server in a container without a network serves a port of the host."""
    seen = dict.fromkeys(["/usr", "/lib", "/lib64", sys.base_prefix, str(TOP)])
    mounts = [word for folder in seen if Path(folder).exists() for word in ("-v", f"{folder}:{folder}:ro")]
    server = [str(TOP / "build/cli/sendfd"), "take", "--exec", sys.executable, str(EXAMPLES / "server.py")]
    container = ["run", "-d", "--name", "web", "--network=none", *mounts, "--rootfs", f"{sandbox.PLACE}/root:O"]
    started = _do("podman", *container, *server)
    said = _do(EXAMPLES / "web", "web", 0)
    try:
        with urllib.request.urlopen(f"http://{said.split()[-1]}/", timeout=LIMIT) as answer:
            got = answer.read().decode()
    except (OSError, ValueError, IndexError) as error:
        return f"{error}: {started}: {said}: {_do('podman', 'logs', 'web')}"
    expected = "served by a process whose network is lo\n"
    return "" if got == expected else f"got {got}"


def memory() -> str:
    """Two containers share memory over a common directory, by address."""
    got = _do(EXAMPLES / "memory", engines.IMAGE, "weights", "0.25 0.5")
    # The owner's pid is not visible in the asker's namespace.
    return "" if got == "0.25 0.5, from 0" else f"got {got}"


ALL = {"example_web": web, "example_memory": memory}
