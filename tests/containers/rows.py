"""Who reaches whom: the lines of the table in docs/namespaces.md, and what the test checks."""

from __future__ import annotations

from dataclasses import dataclass

from peers import PEERS


@dataclass(frozen=True)
class Row:
    receiver: str
    sender: str
    # "pid": by the receiver's pid, as the sender numbers it; "address": by what sendfd_inbox_address() gives.
    by: str
    # "arrives", or the name of the error.
    result: str
    # The sender's pid and uid in the receiver's sendfd_info.
    pid: bool = False
    uid: int | str = 0

    @property
    def name(self) -> str:
        return f"{self.receiver}_from_{self.sender}" + ("_by_address" if self.by == "address" else "")

    @property
    def sees(self) -> str:
        if self.result != "arrives":
            return ""
        return f"{'pid' if self.pid else 'pid 0'}, uid {self.uid}"

    @property
    def takes(self) -> str:
        """The options that let the one reach the other."""
        if self.result != "arrives":
            return ""
        both = (*PEERS[self.sender].set_up, *PEERS[self.receiver].set_up)
        # The host's root needs none to get there, only to be let in.
        options = dict.fromkeys(option for option in both if self.sender != "host_root" or option.startswith("SENDFD_"))
        return ", ".join(f"`{option}`" for option in options) or "none"


def pid(receiver: str, sender: str, result: str = "arrives", **more: object) -> Row:
    return Row(receiver, sender, "pid", result, **more)


def address(receiver: str, sender: str, result: str = "arrives", **more: object) -> Row:
    return Row(receiver, sender, "address", result, **more)


SECTIONS = {
    "docker": [
        pid("docker", "host_root"),
        pid("docker", "host_user", "EPERM"),
        pid("docker_hardened", "host_root"),
        pid("docker_hardened", "host_user", "ECONNREFUSED"),
        pid("docker_hardened_shm", "host_user", uid="UID"),
        pid("docker_other_group", "host_user", "ECONNREFUSED"),
        address("docker_volume", "host_user", "EPERM"),
        address("docker_volume_guests", "host_user", uid="UID"),
        address("docker", "docker_sibling", "ECONNREFUSED"),
        address("docker", "docker_joins_net"),
        address("docker_volume", "docker_sibling_volume"),
        address("docker_volume", "docker_reads_volume"),
        address("docker", "podman", "ECONNREFUSED"),
        address("docker_volume", "podman_volume"),
        address("host_root", "docker", "ECONNREFUSED"),
        pid("host_root", "docker_pid_host", "ECONNREFUSED"),
        address("host_root", "docker_net_host", pid=True),
        pid("host_root", "docker_net_pid_host", pid=True),
        address("host_root_volume", "docker_volume", pid=True),
        pid("host_root_volume", "docker_pid_host_volume", pid=True),
        address("host_user_volume", "docker_volume", "EPERM"),
        address("host_user_volume", "docker_hardened_volume", pid=True, uid="UID"),
    ],
    "podman as root": [
        pid("podman", "host_root"),
        pid("podman", "host_user", "EPERM"),
        pid("podman_hardened", "host_root"),
        pid("podman_hardened", "host_user", "ECONNREFUSED"),
        pid("podman_hardened_shm", "host_user", uid="UID"),
        pid("podman", "podman_joins", pid=True),
        address("podman", "podman_sibling", "ECONNREFUSED"),
        address("podman_volume", "podman_sibling_volume"),
        address("podman_hardened_volume", "podman_volume", "EPERM"),
        address("podman_hardened_volume", "docker_hardened_volume", uid="UID"),
        pid("podman_userns", "host_root", "EPERM"),
        pid("podman_userns_anyone", "host_root", uid=65534),
        address("podman_userns_volume", "podman_volume", "EPERM"),
        address("podman_userns_anyone", "podman_volume", uid=65534),
        address("host_root", "podman", "ECONNREFUSED"),
        pid("host_root", "podman_pid_host", "ECONNREFUSED"),
        address("host_root", "podman_net_host", pid=True),
        pid("host_root", "podman_net_pid_host", pid=True),
        address("host_root_volume", "podman_volume", pid=True),
        address("host_root_volume", "podman_userns_volume", "EPERM"),
        address("host_root_anyone", "podman_userns_volume", pid=True, uid="subordinate"),
    ],
    "a pod": [
        pid("pod", "host_root"),
        address("pod", "pod_sibling"),
        address("pod", "pod_hardened", "EPERM"),
        address("pod_guests", "pod_hardened", uid="UID"),
        address("pod_hardened", "pod", "EPERM"),
        address("pod_hardened_guests", "pod"),
        address("pod", "podman", "ECONNREFUSED"),
    ],
    "podman, rootless": [
        pid("rootless", "host_root", "EPERM"),
        pid("rootless_anyone", "host_root", uid=65534),
        pid("rootless", "host_user", "ECONNREFUSED"),
        pid("rootless_shm", "host_user"),
        pid("rootless_keep_id", "host_user", "ECONNREFUSED"),
        pid("rootless_keep_id_shm", "host_user", uid="UID"),
        pid("rootless_net_host", "host_user"),
        address("rootless", "rootless_sibling", "ECONNREFUSED"),
        address("rootless", "rootless_joins"),
        address("rootless_volume", "rootless_sibling_volume"),
        address("host_user", "rootless", "ECONNREFUSED"),
        address("host_user", "rootless_net_host", pid=True, uid="UID"),
        address("host_user_volume", "rootless_volume", pid=True, uid="UID"),
    ],
    "others": [
        pid("host_root", "host_user", "EPERM"),
        pid("host_root_group", "host_user", pid=True, uid="UID"),
        pid("runc", "host_root"),
        address("host_root", "runc", "ECONNREFUSED"),
        pid("bwrap", "host_root"),
        pid("bwrap_user", "host_root", "EPERM"),
        pid("bwrap_user_anyone", "host_root", uid=65534),
        pid("bwrap_user", "host_user", "ECONNREFUSED"),
        pid("bwrap_user_shm", "host_user", uid="UID"),
        address("host_user_volume", "bwrap_user_volume", pid=True, uid="UID"),
        pid("nspawn", "host_root"),
        address("host_root", "nspawn", "ECONNREFUSED"),
        address("host_root_volume", "nspawn_volume", pid=True),
        pid("service", "host_root", pid=True),
        pid("user_service", "host_root", pid=True),
        pid("user_service", "host_user", "ECONNREFUSED"),
        pid("user_service_volume", "host_user", pid=True, uid="UID"),
        pid("host_root", "service", pid=True),
        pid("host_user", "user_service", "ECONNREFUSED"),
        pid("host_user_volume", "user_service", pid=True, uid="UID"),
        address("gvisor", "host_root", "EOPNOTSUPP"),
        address("host_root", "gvisor", "ECONNREFUSED"),
    ],
}
ROWS = [row for rows in SECTIONS.values() for row in rows]


def table() -> str:
    lines = ["| receiver | sender | by | what happens | the receiver sees | set-up | test |", "|---|---|---|---|---|---|---|"]
    for section, rows in SECTIONS.items():
        lines.append(f"| **{section}** | | | | | | |")
        for row in rows:
            happens = row.result if row.result == "arrives" else f"`{row.result}`"
            cells = [PEERS[row.receiver].text, PEERS[row.sender].text, row.by, happens, row.sees, row.takes]
            lines.append("| " + " | ".join([*cells, f"`containers::{row.name}`"]).replace("|  ", "| ") + " |")
    return "\n".join(lines) + "\n"
