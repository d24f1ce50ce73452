"""How each engine runs a program in an almost empty root: no image is fetched, no service started or asked."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import time
from pathlib import Path

import sandbox

# Limits as they are: not every root may raise them. Descriptors in flight are counted for a user in all containers.
CONFIGURATION = """
[containers]
default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]
log_driver = "k8s-file"
[engine]
events_logger = "none"
cgroup_manager = "cgroupfs"
runtime = "runc"
"""
STORAGE = """
[storage]
driver = "overlay"
graphroot = "{place}/podman/root"
runroot = "{place}/podman/run"
"""
PODMAN = shutil.which("podman") or "podman"
# What each needs on the machine.
PROGRAMS = {
    "host": (),
    "docker": ("dockerd", "containerd"),
    "podman": ("podman", "runc", "conmon"),
    "rootless": ("podman", "runc", "conmon", "newuidmap"),
    "pod": ("podman", "runc", "conmon", "catatonit"),
    "runc": ("runc",),
    "bwrap": ("bwrap",),
    "nspawn": ("systemd-nspawn",),
    "gvisor": ("runsc",),
}
# Debian's client; another may come first in the path, and be wrapped.
DOCKER = next((path for path in ("/usr/bin/docker",) if os.path.exists(path)), "docker")
IMAGE = "sendfd-test"
SOCKET = sandbox.PLACE / "docker.sock"


def missing(engine: str) -> str:
    """The programs that are not there; empty: it can be tried."""
    places = os.environ["PATH"] + ":/usr/sbin:/sbin:/usr/libexec/podman"
    return " ".join(name for name in PROGRAMS[engine] if not shutil.which(name, path=places))


def _do(*words: object, **more: object) -> subprocess.CompletedProcess:
    return subprocess.run([*map(str, words)], check=True, capture_output=True, timeout=60, **more)


def _image() -> bytes:
    return _do("tar", "-C", sandbox.PLACE / "root", "-c", ".").stdout


def set_up(engine: str) -> None:
    """What is done once, before the first program is run."""
    storage = sandbox.PLACE / "storage.conf"
    storage.write_text(STORAGE.format(place=sandbox.PLACE))
    os.environ["CONTAINERS_STORAGE_CONF"] = str(storage)
    configuration = sandbox.PLACE / "containers.conf"
    files, processes = (resource.getrlimit(limit)[1] for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC))
    configuration.write_text(CONFIGURATION.format(files=files, processes=processes))
    os.environ["CONTAINERS_CONF"] = str(configuration)
    if engine == "podman":
        # User namespaces by --userns=auto are made of images alone.
        _do(PODMAN, "import", "-", IMAGE, input=_image())
    elif engine == "pod":
        _do(PODMAN, "pod", "create", "--name", "the-pod", "--network=none", f"--cgroup-parent={sandbox.cgroup()}")
    elif engine == "docker":
        _start_docker()


def _start_docker() -> None:
    state = sandbox.PLACE / "docker"
    state.mkdir()
    with (state / "log").open("w") as log:
        words = ["dockerd", f"--data-root={state}/data", f"--exec-root={state}/exec", f"--pidfile={state}/pid"]
        words += [f"--host=unix://{SOCKET}", f"--cgroup-parent={sandbox.cgroup()}", "--bridge=none", "--iptables=false"]
        daemon = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    end = time.monotonic() + 60
    while subprocess.run([*_docker(), "version"], capture_output=True, check=False).returncode:
        if daemon.poll() is not None or time.monotonic() > end:
            raise RuntimeError((state / "log").read_text().strip().splitlines()[-1])
        time.sleep(0.05)
    _do(*_docker(), "import", "-", IMAGE, input=_image())


def _docker() -> list[str]:
    return [DOCKER, "--host", f"unix://{SOCKET}"]


def _podman_run(name: str, options: list[str], root: list[str]) -> list[str]:
    network = [] if any(option.startswith(("--net", "--pod")) for option in options) else ["--network=none"]
    return ["run", "--rm", "-i", "--name", name, *network, *options, *root]


def reaching(engine: str, directory: str, volume: str) -> tuple[list[str], list[str]]:
    """The options that give it $SENDFD_DIR, and a directory of the host."""
    mounted = volume.removesuffix(":ro")
    variable = f"SENDFD_DIR={directory}"
    as_options = {
        # Nothing is mounted: it has the host's files.
        "host": (["env", variable], [f"mkdir -m 1777 {mounted}"]),
        "bwrap": (["--setenv", *variable.split("=")], ["--bind", mounted, mounted]),
        "nspawn": ([f"--setenv={variable}"], [f"--bind={mounted}"]),
    }
    of_directory, of_volume = as_options.get(engine, (["-e", variable], ["-v", f"{mounted}:{volume}"]))
    return of_directory if directory else [], of_volume if volume else []


def command(engine: str, name: str, options: list[str], directory: str, volume: str, guests: str) -> list[str]:
    """What runs the program of this test in a container of that name."""
    root = str(sandbox.PLACE / "root")
    program = ["/peer", *guests.split()]
    of_directory, of_volume = reaching(engine, directory, volume)
    if engine == "host":
        # There is a directory for all of the host; who is not to be in it says so.
        environment = of_directory or ([] if volume else ["env", "SENDFD_DIR="])
        return [*options, *environment, root + program[0], *program[1:]]
    if engine == "bwrap":
        words = ["bwrap", "--ro-bind", root, "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/run", "--unshare-all"]
        return [*options, *words, *of_directory, *of_volume, *program]
    if engine == "runc":
        return ["runc", "--root", f"{sandbox.PLACE}/runc", "run", "--bundle", str(_bundle(engine, name, root, program)), name]
    if engine == "gvisor":
        words = ["runsc", "--root", f"{sandbox.PLACE}/runsc", "--network=none", "--ignore-cgroups", "--platform=ptrace"]
        return [*words, "run", "--bundle", str(_bundle(engine, name, root, program)), name]
    options = [*of_directory, *of_volume, *options]
    if engine == "docker":
        return [*_docker(), "run", "--rm", "-i", "--name", name, *options, IMAGE, *program]
    if engine == "rootless":
        # One of its own, since it stays as the engine leaves it: with the directories that something was mounted on.
        own = str(sandbox.PLACE / f"root-{name}")
        _do("cp", "-a", sandbox.PLACE / "user-root", own)
        words = [PODMAN, *_podman_run(name, options, ["--rootfs", own])]
        return sandbox.as_user([*words, *program])
    if engine == "nspawn":
        words = ["systemd-nspawn", "-q", "--volatile=overlay", "-D", root, f"--machine={name.replace('_', '-')}"]
        return [*words, "--register=no", "--keep-unit", "--private-network", "--pipe", *options, *program]
    from_image = any(option.startswith("--userns") for option in options)
    source = [IMAGE] if from_image else ["--rootfs", root + ":O"]
    return [PODMAN, *_podman_run(name, [f"--cgroup-parent={sandbox.cgroup()}", *options], source), *program]


def _bundle(engine: str, name: str, root: str, program: list[str]) -> Path:
    bundle = sandbox.PLACE / f"bundle-{name}"
    bundle.mkdir()
    _do("runc", "spec", "--bundle", bundle)
    file = bundle / "config.json"
    configuration = json.loads(file.read_text())
    configuration["process"].update(terminal=False, args=program, rlimits=[])
    configuration["root"] = {"path": root, "readonly": True}
    configuration["linux"]["cgroupsPath"] = f"{sandbox.cgroup()}/{name}"
    if engine == "gvisor":
        configuration["mounts"] = [mount for mount in configuration["mounts"] if mount["type"] in ("proc", "tmpfs")]
        del configuration["linux"]["resources"]
    file.write_text(json.dumps(configuration))
    return bundle
