"""The initial file system of a machine, as the kernel unpacks it: cpio's "newc" form."""

import pathlib


class Image:
    def __init__(self):
        self.entries = {}

    def folder(self, path):
        for parent in [*reversed(pathlib.PurePath(path).parents)][1:]:
            self.entries.setdefault(str(parent), (0o040755, b""))
        self.entries.setdefault(path, (0o040755, b""))

    def file(self, path, content, mode=0o755):
        self.folder(str(pathlib.PurePath(path).parent))
        self.entries[path] = (0o100000 | mode, content)

    def link(self, path, target):
        self.folder(str(pathlib.PurePath(path).parent))
        self.entries[path] = (0o120777, target.encode())

    def write(self, path):
        with open(path, "wb") as out:
            for number, (name, (mode, content)) in enumerate(self.entries.items(), 1):
                out.write(entry(number, name.lstrip("/"), mode, content))
            out.write(entry(0, "TRAILER!!!", 0, b""))


def entry(number, name, mode, content):
    # inode, mode, owner, group, links, time, size, four device numbers, length of the name, checksum
    fields = [number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return padded(head) + padded(content)


def padded(data):
    return data + b"\0" * (-len(data) % 4)
