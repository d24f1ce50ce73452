"""Who sends and receives: each a program in one container, or on the host. `text` is how the table calls it."""

from __future__ import annotations

from dataclasses import dataclass, field

import engines
from sandbox import UID

HARDENED = ("--read-only", f"--user={UID}:{UID}", "--cap-drop=all", "--security-opt=no-new-privileges")
OWN_NETWORK = ("unshare", "--net")
SHM = "/dev/shm"
VOLUME = "/run/sendfd"
AS_USER = ("setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups", "--inh-caps=-all")


@dataclass(frozen=True)
class Peer:
    text: str
    engine: str
    options: tuple[str, ...] = ()
    # Those whose namespaces it joins, or who have to be there first.
    after: tuple[str, ...] = field(default=())
    # With $SENDFD_DIR, and with a directory of the host mounted in the place of its own.
    directory: str = ""
    volume: str = ""
    # Whom its inbox lets in besides: "anyone", "uid N" or "gid N".
    guests: str = ""

    @property
    def set_up(self) -> list[str]:
        """Of its options, those that make it reachable or let it reach."""
        shown = [option for option in self.options if option.startswith(("--net=", "--pid=", "--pod="))]
        for name in (*self.after, "the-pod"):
            shown = [option.replace(name, "NAME") for option in shown]
        of_guests = {"uid": "uids", "gid": "gids", "anyone": "SENDFD_INBOX_ANYONE"}
        shown += [" ".join([of_guests[word] for word in self.guests.split() if word in of_guests])] if self.guests else []
        return shown + [" ".join(words) for words in engines.reaching(self.engine, self.directory, self.volume) if words]


PEERS = {
    "host_root": Peer("the host, root", "host"),
    "host_user": Peer("the host, a user", "host", AS_USER),
    "host_root_group": Peer("the host, root", "host", guests=f"gid {UID}"),
    "service": Peer("`PrivateNetwork=yes`, root", "host", OWN_NETWORK),
    "user_service": Peer("`PrivateNetwork=yes`, a user", "host", (*OWN_NETWORK, *AS_USER)),
    "user_service_volume": Peer("`PrivateNetwork=yes`, a user", "host", (*OWN_NETWORK, *AS_USER), volume=VOLUME),
    "host_user_volume": Peer("the host, a user", "host", AS_USER, volume=VOLUME),
    "host_root_volume": Peer("the host, root", "host", volume=VOLUME),
    "docker": Peer("docker", "docker"),
    "docker_sibling": Peer("another docker", "docker"),
    "docker_net_host": Peer("docker", "docker", ("--net=host",)),
    "docker_pid_host": Peer("docker `--pid=host`", "docker", ("--pid=host",)),
    "docker_net_pid_host": Peer("docker", "docker", ("--net=host", "--pid=host")),
    "docker_joins_net": Peer("another docker", "docker", ("--net=container:docker",), ("docker",)),
    "docker_hardened": Peer("docker, hardened", "docker", HARDENED),
    "docker_hardened_shm": Peer("docker, hardened", "docker", HARDENED, directory=SHM),
    "docker_other_group": Peer("docker, hardened, but `--user=UID`", "docker", (*HARDENED, f"--user={UID}"), directory=SHM),
    "docker_volume": Peer("docker", "docker", volume=VOLUME),
    "docker_sibling_volume": Peer("another docker", "docker", volume=VOLUME),
    "docker_reads_volume": Peer("another docker", "docker", volume=VOLUME + ":ro"),
    "docker_pid_host_volume": Peer("docker", "docker", ("--pid=host",), volume=VOLUME),
    "docker_hardened_volume": Peer("docker, hardened", "docker", HARDENED, volume=VOLUME),
    "docker_volume_guests": Peer("docker", "docker", volume=VOLUME, guests=f"uid {UID}"),
    "podman": Peer("podman", "podman"),
    "podman_sibling": Peer("another podman", "podman"),
    "podman_net_host": Peer("podman", "podman", ("--net=host",)),
    "podman_pid_host": Peer("podman `--pid=host`", "podman", ("--pid=host",)),
    "podman_net_pid_host": Peer("podman", "podman", ("--net=host", "--pid=host")),
    "podman_joins": Peer("another podman", "podman", ("--net=container:podman", "--pid=container:podman"), ("podman",)),
    "podman_userns": Peer("podman `--userns=auto`", "podman", ("--userns=auto",)),
    "podman_userns_volume": Peer("podman `--userns=auto`", "podman", ("--userns=auto",), volume=VOLUME),
    "podman_userns_anyone": Peer("podman `--userns=auto`", "podman", ("--userns=auto",), volume=VOLUME, guests="anyone"),
    "host_root_anyone": Peer("the host, root", "host", volume=VOLUME, guests="anyone"),
    "podman_hardened": Peer("podman, hardened", "podman", HARDENED),
    "podman_hardened_shm": Peer("podman, hardened", "podman", HARDENED, directory=SHM),
    "podman_hardened_volume": Peer("podman, hardened", "podman", HARDENED, volume=VOLUME),
    "podman_volume": Peer("podman", "podman", volume=VOLUME),
    "podman_sibling_volume": Peer("another podman", "podman", volume=VOLUME),
    "pod": Peer("podman, in a pod", "pod", ("--pod=the-pod",)),
    "pod_sibling": Peer("another in that pod", "pod", ("--pod=the-pod",)),
    "pod_hardened": Peer("podman, in a pod, hardened", "pod", ("--pod=the-pod", *HARDENED)),
    "pod_guests": Peer("podman, in a pod", "pod", ("--pod=the-pod",), guests=f"uid {UID}"),
    "pod_hardened_guests": Peer("podman, in a pod, hardened", "pod", ("--pod=the-pod", *HARDENED), guests="uid 0"),
    "rootless": Peer("podman, rootless", "rootless"),
    "rootless_shm": Peer("podman, rootless", "rootless", directory=SHM),
    "rootless_anyone": Peer("podman, rootless", "rootless", guests="anyone"),
    "rootless_volume": Peer("podman, rootless", "rootless", volume=VOLUME),
    "rootless_sibling": Peer("another of that user", "rootless"),
    "rootless_sibling_volume": Peer("another of that user", "rootless", volume=VOLUME),
    "rootless_joins": Peer("another of that user", "rootless", ("--net=container:rootless",), ("rootless",)),
    "rootless_net_host": Peer("podman, rootless", "rootless", ("--net=host",)),
    "rootless_keep_id": Peer("podman, rootless, `--userns=keep-id`", "rootless", ("--userns=keep-id",)),
    "rootless_keep_id_shm": Peer("podman, rootless, `--userns=keep-id`", "rootless", ("--userns=keep-id",), directory=SHM),
    "runc": Peer("runc", "runc"),
    "bwrap": Peer("bubblewrap `--unshare-all`, root", "bwrap"),
    "bwrap_user": Peer("bubblewrap `--unshare-all`, a user", "bwrap", AS_USER),
    "bwrap_user_shm": Peer("bubblewrap `--unshare-all`, a user", "bwrap", AS_USER, directory=SHM),
    "bwrap_user_anyone": Peer("bubblewrap `--unshare-all`, a user", "bwrap", AS_USER, guests="anyone"),
    "bwrap_user_volume": Peer("bubblewrap `--unshare-all`, a user", "bwrap", AS_USER, volume=VOLUME),
    "nspawn": Peer("systemd-nspawn `--private-network`", "nspawn"),
    "nspawn_volume": Peer("systemd-nspawn `--private-network`", "nspawn", volume=VOLUME),
    "gvisor": Peer("gVisor", "gvisor"),
}
