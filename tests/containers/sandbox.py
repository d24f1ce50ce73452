"""Where all of it runs: namespaces of its own for pids, mounts and networks, which take everything with them when
they end, whatever ends them. No container, mount, interface, user or file is left on the machine."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

LIMIT = 180
UID = 54321
USER = "sendfd-test"
# Ids that belong to no user of the machine, for the engines' user namespaces.
SUBORDINATE = 1_800_000_000
PLACE = Path("/run/sendfd-test")
DIRECTORY = Path("/run/sendfd")
CGROUPS = Path("/sys/fs/cgroup")
INSIDE = "SENDFD_TEST_CGROUP"
HIDDEN = ("/run", "/dev/shm", "/var/lib/containers", "/var/cache/containers")
PR_SET_PDEATHSIG = 1


def why_not() -> str:
    """Why it cannot be made here; empty: it can."""
    if os.geteuid() != 0:
        return "needs root"
    tried = subprocess.run([*_unshare(), "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip() if tried.returncode else ""


def _unshare() -> list[str]:
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "--ipc", "--uts", "--mount-proc"]


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def run_inside(words: list[str]) -> int:
    """Runs that program in there, and cleans up behind it."""
    cgroup = f"sendfd-test-{os.getpid()}"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    child = subprocess.Popen(  # noqa: PLW1509
        [*_unshare(), *words], env={**os.environ, INSIDE: cgroup}, preexec_fn=_die_with_parent
    )
    try:
        return child.wait(LIMIT)
    except subprocess.TimeoutExpired:
        print(f"containers: not done in {LIMIT} s", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        child.kill()
        child.wait()
        _remove_cgroups(cgroup)


def _remove_cgroups(cgroup: str) -> None:
    """The one thing that does not go by itself. Also what a run that was killed has left."""
    end = time.monotonic() + 10
    while True:
        for found in [*CGROUPS.glob("sendfd-test-*"), *CGROUPS.glob("*/sendfd-test-*")]:
            for folder, _, _ in os.walk(found, topdown=False):
                # Another run is in it, or a process that is on its way out.
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
        if not [*CGROUPS.glob(cgroup), *CGROUPS.glob(f"*/{cgroup}")]:
            return
        if time.monotonic() > end:
            print(f"containers: cgroup {cgroup} is still in use", file=sys.stderr)
            return
        time.sleep(0.05)


def is_inside() -> bool:
    return INSIDE in os.environ


def cgroup() -> str:
    return "/" + os.environ[INSIDE]


def furnish(programs: list[Path]) -> None:
    """Inside: an empty /run, a loopback, a user with subordinate ids, and almost empty roots with these programs."""
    for folder in HIDDEN:
        if Path(folder).is_dir():
            mode = "1777" if folder == "/dev/shm" else "755"
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode={mode}", "none", folder], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=False, capture_output=True)
    PLACE.mkdir()
    # What an administrator makes for all.
    DIRECTORY.mkdir()
    DIRECTORY.chmod(0o1777)
    _add_to("/etc/passwd", f"{USER}:x:{UID}:{UID}::{PLACE}/home:/bin/sh\n")
    _add_to("/etc/group", f"{USER}:x:{UID}:\n")
    for file in ("/etc/subuid", "/etc/subgid"):
        _add_to(file, f"{USER}:{SUBORDINATE}:65536\ncontainers:{SUBORDINATE + 100_000}:1000000\n")
    for name, owner in (("root", 0), ("home", UID), ("runtime", UID), ("user-root", UID)):
        (PLACE / name).mkdir()
        os.chown(PLACE / name, owner, owner)
    for root in ("root", "user-root"):
        for folder in ("proc", "dev", "sys", "etc", "tmp", "run", "opt", "usr"):
            (PLACE / root / folder).mkdir()
        (PLACE / root / "tmp").chmod(0o1777)
        for program in programs:
            shutil.copy(program, PLACE / root / program.name)
    for folder in (PLACE / "user-root").rglob("*"):
        os.chown(folder, UID, UID)
    (PLACE / "runtime").chmod(0o700)


def _add_to(file: str, lines: str) -> None:
    old = Path(file)
    new = PLACE / old.name
    new.write_text(lines + (old.read_text() if old.exists() else ""))
    if old.exists():
        subprocess.run(["mount", "--bind", new, file], check=True)


def as_user(words: list[str]) -> list[str]:
    """That command as the plain user."""
    return [
        *("setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups", "--inh-caps=-all"),
        *("env", "-i", f"PATH={os.environ['PATH']}", f"HOME={PLACE}/home", f"XDG_RUNTIME_DIR={PLACE}/runtime"),
        *(f"{name}={os.environ[name]}" for name in ("CONTAINERS_CONF",) if name in os.environ),
        *words,
    ]
