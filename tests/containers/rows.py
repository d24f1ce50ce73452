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
        if self.sender == "host_root":
            return "none"
        options = dict.fromkeys((*PEERS[self.sender].set_up, *PEERS[self.receiver].set_up))
        return ", ".join(f"`{option}`" for option in options) or "none"


def pid(receiver: str, sender: str, result: str = "arrives", **more: object) -> Row:
    return Row(receiver, sender, "pid", result, **more)


def address(receiver: str, sender: str, result: str = "arrives", **more: object) -> Row:
    return Row(receiver, sender, "address", result, **more)


SECTIONS = {
    "docker": [
        pid("docker", "host_root"),
        pid("docker", "host_user", "EPERM"),
        address("docker", "docker_sibling", "ECONNREFUSED"),
        address("docker", "podman", "ECONNREFUSED"),
        address("docker", "docker_joins_net"),
        pid("docker_net_host", "host_root"),
        pid("docker_hardened", "host_root"),
        pid("docker_hardened", "host_user", "ECONNREFUSED"),
        address("host_root", "docker", "ECONNREFUSED"),
        pid("host_root", "docker_pid_host", "ECONNREFUSED"),
        address("host_root", "docker_net_host", pid=True),
        pid("host_root", "docker_net_pid_host", pid=True),
    ],
    "podman as root": [
        pid("podman", "host_root"),
        pid("podman", "host_user", "EPERM"),
        address("podman", "podman_sibling", "ECONNREFUSED"),
        address("podman", "docker", "ECONNREFUSED"),
        pid("podman", "podman_joins", pid=True),
        pid("podman_net_host", "host_root"),
        pid("podman_hardened", "host_root"),
        pid("podman_hardened", "host_user", "ECONNREFUSED"),
        address("podman_hardened", "podman", "ECONNREFUSED"),
        pid("podman_userns", "host_root", "EPERM"),
        address("podman_userns", "podman", "ECONNREFUSED"),
        address("host_root", "podman", "ECONNREFUSED"),
        pid("host_root", "podman_pid_host", "ECONNREFUSED"),
        address("host_root", "podman_net_host", pid=True),
        pid("host_root", "podman_net_pid_host", pid=True),
        address("host_root", "podman_userns", "ECONNREFUSED"),
    ],
    "a pod": [
        pid("pod", "host_root"),
        address("pod", "pod_sibling"),
        address("pod", "pod_hardened", "EPERM"),
        address("pod_hardened", "pod", "EPERM"),
        address("pod", "podman", "ECONNREFUSED"),
    ],
    "podman, rootless": [
        pid("rootless", "host_root", "EPERM"),
        pid("rootless", "host_user", "ECONNREFUSED"),
        address("rootless", "rootless_sibling", "ECONNREFUSED"),
        address("rootless", "rootless_joins"),
        pid("rootless_net_host", "host_root", "EPERM"),
        pid("rootless_net_host", "host_user", uid=0),
        pid("rootless_keep_id", "host_user", "ECONNREFUSED"),
        address("host_user", "rootless", "ECONNREFUSED"),
        address("host_user", "rootless_net_host", pid=True, uid="UID"),
    ],
    "others": [
        pid("runc", "host_root"),
        address("host_root", "runc", "ECONNREFUSED"),
        pid("bwrap", "host_root"),
        pid("bwrap_user", "host_user", "ECONNREFUSED"),
        pid("bwrap_user", "host_root", "EPERM"),
        pid("nspawn", "host_root"),
        address("host_root", "nspawn", "ECONNREFUSED"),
        pid("service", "host_root", pid=True),
        pid("user_service", "host_root", pid=True),
        pid("user_service", "host_user", "ECONNREFUSED"),
        pid("host_root", "service", pid=True),
        pid("host_user", "user_service", "ECONNREFUSED"),
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
