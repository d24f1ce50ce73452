"""A process sends itself a pipe, and its child sends it one: what came tells who sent it."""

import os

import sendfd

with sendfd.Inbox() as inbox:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        sendfd.send(os.getppid(), write)
        os._exit(0)
    with inbox.recv(timeout=60) as parcel:
        assert parcel.pid == child, (parcel.pid, child)
        with parcel.open("wb") as file:
            file.write(b"came")
    os.close(write)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(read, 10) == b"came"
print(sendfd.__version__, os.uname().machine)
