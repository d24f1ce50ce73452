"""Who sends and receives: each a program in one container, or on the host. `text` is how the table calls it."""

from __future__ import annotations

from dataclasses import dataclass, field

from sandbox import UID

HARDENED = ("--read-only", f"--user={UID}", "--cap-drop=all", "--security-opt=no-new-privileges")
OWN_NETWORK = ("unshare", "--net")
AS_USER = ("setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups", "--inh-caps=-all")


@dataclass(frozen=True)
class Peer:
    text: str
    engine: str
    options: tuple[str, ...] = ()
    # Those whose namespaces it joins, or who have to be there first.
    after: tuple[str, ...] = field(default=())

    @property
    def set_up(self) -> list[str]:
        """Of its options, those that make it reachable or let it reach."""
        shown = [option for option in self.options if option.startswith(("--net=", "--pid=", "--pod="))]
        for name in (*self.after, "the-pod"):
            shown = [option.replace(name, "NAME") for option in shown]
        return shown


PEERS = {
    "host_root": Peer("the host, root", "host"),
    "host_user": Peer("the host, a user", "host", AS_USER),
    "service": Peer("`PrivateNetwork=yes`, root", "host", OWN_NETWORK),
    "user_service": Peer("`PrivateNetwork=yes`, a user", "host", (*OWN_NETWORK, *AS_USER)),
    "docker": Peer("docker", "docker"),
    "docker_sibling": Peer("another docker", "docker"),
    "docker_net_host": Peer("docker `--net=host`", "docker", ("--net=host",)),
    "docker_pid_host": Peer("docker `--pid=host`", "docker", ("--pid=host",)),
    "docker_net_pid_host": Peer("docker `--net=host --pid=host`", "docker", ("--net=host", "--pid=host")),
    "docker_joins_net": Peer("docker `--net=container:`it", "docker", ("--net=container:docker",), ("docker",)),
    "docker_hardened": Peer("docker, hardened", "docker", HARDENED),
    "podman": Peer("podman", "podman"),
    "podman_sibling": Peer("another podman", "podman"),
    "podman_net_host": Peer("podman `--net=host`", "podman", ("--net=host",)),
    "podman_pid_host": Peer("podman `--pid=host`", "podman", ("--pid=host",)),
    "podman_net_pid_host": Peer("podman `--net=host --pid=host`", "podman", ("--net=host", "--pid=host")),
    "podman_joins": Peer(
        "podman `--net=container: --pid=container:`it", "podman", ("--net=container:podman", "--pid=container:podman"), ("podman",)
    ),
    "podman_userns": Peer("podman `--userns=auto`", "podman", ("--userns=auto",)),
    "podman_hardened": Peer("podman, hardened", "podman", HARDENED),
    "pod": Peer("podman, in a pod", "pod", ("--pod=the-pod",)),
    "pod_sibling": Peer("another in that pod", "pod", ("--pod=the-pod",)),
    "pod_hardened": Peer("podman, in a pod, hardened", "pod", ("--pod=the-pod", *HARDENED)),
    "rootless": Peer("podman, rootless", "rootless"),
    "rootless_sibling": Peer("another of that user", "rootless"),
    "rootless_joins": Peer("one `--net=container:`it", "rootless", ("--net=container:rootless",), ("rootless",)),
    "rootless_net_host": Peer("podman, rootless, `--net=host`", "rootless", ("--net=host",)),
    "rootless_keep_id": Peer("podman, rootless, `--userns=keep-id`", "rootless", ("--userns=keep-id",)),
    "runc": Peer("runc", "runc"),
    "bwrap": Peer("bubblewrap `--unshare-all`, root", "bwrap"),
    "bwrap_user": Peer("bubblewrap `--unshare-all`, a user", "bwrap", ("user",)),
    "nspawn": Peer("systemd-nspawn `--private-network`", "nspawn"),
    "gvisor": Peer("gVisor", "gvisor"),
}
