"""Signal handlers that raise, at every point of a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

import pytest

if TYPE_CHECKING:
    from conftest import Child

BEGIN = """
import gc, os, random, signal, sys, threading, warnings
import sendfd

class Interrupt(Exception):
    pass

def interrupt(signo, frame):
    raise Interrupt

def least():
    fd = os.dup(0)
    os.close(fd)
    return fd

def descriptors():
    gc.collect()
    return {fd for fd in map(int, os.listdir("/proc/self/fd")) if fd < 1024} - {least()}

me = os.getpid()
said = []
warnings.simplefilter("always")
warnings.showwarning = lambda *words: said.append(words)
signal.signal(signal.SIGALRM, interrupt)
inbox = sendfd.Inbox()

def interrupted(calls):
    # One after the other, each cut off after a time of its own.
    cut = 0
    for number in range(ROUNDS):
        for call in calls:
            try:
                try:
                    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, LONGEST))
                    call(number)
                except (TimeoutError, BlockingIOError, ValueError):
                    pass
                signal.setitimer(signal.ITIMER_REAL, 0)
            except Interrupt:
                cut += 1  # It comes once.
    return cut
"""

SEND_AND_RECV = """
ROUNDS, LONGEST = 4000, 6e-5
sent, got = set(), []

def send(number):
    sendfd.send(me, 0, 0, data=b"%d" % number, timeout=None)
    sent.add(number)

def recv(number):
    parcel = inbox.recv(timeout=0.001)
    got.append(int(parcel.data))
    parcel.close()

before = descriptors()
cut = interrupted([send, recv])
while True:
    try:
        recv(0)
    except TimeoutError:
        break
# What a call gives and nobody holds yet when the handler raises is closed, and says so.
lost = sent - set(got)
print(cut > ROUNDS // 10, len(got) == len(set(got)), len(lost) <= len(said), flush=True)
print(descriptors() == before, flush=True)
"""

REQUEST = """
ROUNDS, LONGEST = 3000, 3e-4
answered = gone = asked = 0

def answer():
    global answered, gone, asked
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    for parcel in inbox:
        with parcel:
            asked += 1
            try:
                parcel.reply(0, data=parcel.data)
                answered += 1
            except BrokenPipeError:
                gone += 1

good = 0

def ask(number):
    global good
    with outbox.request(0, data=b"%d" % number) as parcel:
        assert int(parcel.data) == number, (parcel.data, number)
        good += 1

with sendfd.Outbox(me) as outbox:
    outbox.send(0)
    inbox.recv().close()
    before = descriptors()
    answering = threading.Thread(target=answer)
    answering.start()
    cut = interrupted([ask])
    outbox.wait_taken()
    inbox.close()
    answering.join()
print(cut > ROUNDS // 10, good <= answered, asked == answered + gone, flush=True)
print(descriptors() <= before, flush=True)
"""

TAKE_OUT = """
ROUNDS, LONGEST = 3000, 6e-5
import socket
left, right = socket.socketpair()
before = descriptors()

def sockets(number):
    if not holder:
        return
    with holder[0] as parcel:
        made = parcel.sockets() if number % 2 else [parcel.socket()]
        for one in made:
            one.close()

holder = []

def prepare(number):
    signal.setitimer(signal.ITIMER_REAL, 0)
    sendfd.send(me, left, right, timeout=None)
    holder[:] = [inbox.recv()]

def close(number):
    signal.setitimer(signal.ITIMER_REAL, 0)
    while holder:
        holder.pop().close()

cut = interrupted([prepare, sockets, close])
while holder:
    holder.pop().close()
while True:
    try:
        inbox.recv(0).close()
    except BlockingIOError:
        break
# Whatever was closed was closed once: these two are what they were.
left.send(b"x")
print(cut > ROUNDS // 10, right.recv(1), descriptors() == before, flush=True)
"""


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (SEND_AND_RECV, ["True True True", "True"]),
        (REQUEST, ["True True True", "True"]),
        (TAKE_OUT, ["True b'x' True"]),
    ],
    ids=["send and recv", "request", "take out"],
)
def test_nothing_is_lost_and_nothing_kept_twice(
    child: Callable[..., Child], code: str, says: list[str]
) -> None:
    program = child(BEGIN + code)
    assert [program.said() for _ in says] == says
