"""The kernels that the tests are run on: Debian's own, from the mirror that apt uses here."""

import pathlib
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLACE = ROOT / "build/kernels"


class Emulated(NamedTuple):
    """What a processor takes: to compile for it, and to emulate it."""

    triple: str
    cc: str
    qemu: list
    console: str


class Kernel(NamedTuple):
    name: str
    suites: list  # the first has precedence
    arch: str

    @property
    def place(self):
        return PLACE / self.name

    @property
    def package(self):
        return (self.place / "package").read_text().strip()

    @property
    def is_here(self):
        return (self.place / "package").exists()

    @property
    def processor(self):
        return PROCESSORS[self.arch]


PROCESSORS = {
    "amd64": Emulated("x86_64-unknown-linux-gnu", "x86_64-linux-gnu-gcc",
                      ["qemu-system-x86_64", "-cpu", "max", "-no-reboot"], "ttyS0"),
    "arm64": Emulated("aarch64-unknown-linux-gnu", "aarch64-linux-gnu-gcc",
                      ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72", "-no-reboot"], "ttyAMA0"),
}

KERNELS = [
    Kernel("5.10", ["bullseye-security", "bullseye"], "amd64"),
    Kernel("6.1", ["bookworm-security", "bookworm"], "amd64"),
    Kernel("6.12", ["trixie-security", "trixie"], "amd64"),
    Kernel("newest", ["trixie-backports", "trixie"], "amd64"),
    Kernel("6.12-arm64", ["trixie-security", "trixie"], "arm64"),
]

# Those of the short form: the ends of the line.
SHORT = ["5.10", "newest"]
