"""The contract of the matrix in Python; see run."""

import errno
import os
import sys

import sendfd


def count_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def files(nfds: int) -> list[int]:
    fds = []
    for index in range(nfds):
        fds.append(os.memfd_create("matrix"))
        os.write(fds[-1], f"{index}-of-{os.getpid()}".encode())
    return fds


def numbered(index: int, length: int) -> bytes:
    return f"{index:08}".encode()[:length] + bytes(i % 256 for i in range(length))[8:]


def send(pid: int, signo: int, nfds: int, length: int, count: int) -> None:
    fds = files(nfds)
    for index in range(count):
        sendfd.send(pid, *fds, data=numbered(index, length), signal=signo, timeout=20)
    print("sent", os.getpid())


def ask(pid: int, signo: int, nfds: int, length: int, count: int) -> None:
    fds = files(nfds)
    texts = [os.pread(fd, 64, 0) for fd in fds]
    with sendfd.Outbox(pid, signal=signo, timeout=20) as outbox:
        outbox.send(data=bytes(i % 256 for i in range(length)), timeout=20)
        for index in range(count):
            data = numbered(index, length)
            with outbox.request(*fds, data=data, timeout=20) as answer:
                if [os.pread(fd, 64, 0) for fd in answer.fds] != texts or answer.data != data[::-1]:
                    print("another answer")
        outbox.wait_taken(timeout=20)
    print("asked", os.getpid())


def take(inbox: sendfd.Inbox) -> str:
    with inbox.recv(timeout=20) as parcel:
        texts = [os.pread(fd, 64, 0).decode() for fd in parcel.fds]
        head = f"{parcel.pid} {parcel.uid} {parcel.gid} {parcel.signo} -{parcel.data.hex()}"
        if parcel.wants_reply:
            parcel.reply(*parcel.fds, data=parcel.data[::-1])
        return " ".join([head, *texts])


def receive(signo: int) -> None:
    before = count_fds()
    with sendfd.Inbox(signo) as inbox:
        print("open", os.getpid(), flush=True)
        for line in sys.stdin:
            for _ in range(int(line)):
                print(take(inbox))
            sys.stdout.flush()
    print("closed", count_fds() - before)


try:
    {"send": send, "ask": ask, "receive": receive}[sys.argv[1]](*map(int, sys.argv[2:]))
except OSError as error:
    print("error", errno.errorcode[error.errno or 0], error)
