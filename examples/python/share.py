"""Descriptors by label: one process keeps them, any other of the same user fetches one by pid.

    python share.py keep notes=/tmp/notes log=/var/log/syslog
    python share.py fetch PID notes

It needs no ptrace right over the keeper, as pidfd_getfd() would, and the keeper decides what it
gives.
"""

from __future__ import annotations

import os
import shutil
import sys

import sendfd


def keep(files: list[str]) -> None:
    names = dict(file.split("=", 1) for file in files)
    kept = {label.encode(): os.open(name, os.O_RDONLY) for label, name in names.items()}
    with sendfd.Inbox() as inbox:
        print(f"process {os.getpid()} keeps {', '.join(names)}", flush=True)
        for parcel in inbox:
            with parcel:
                if parcel.wants_reply and parcel.data in kept:
                    parcel.reply(kept[parcel.data])
                elif parcel.wants_reply:
                    parcel.reply(data=b"no such label")


def fetch(pid: int, label: str) -> None:
    with sendfd.request(pid, data=label.encode()) as answer:
        if not answer.fds:
            sys.exit(answer.data.decode())
        with answer.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)


if __name__ == "__main__":
    if sys.argv[1] == "keep":
        keep(sys.argv[2:])
    else:
        fetch(int(sys.argv[2]), sys.argv[3])
