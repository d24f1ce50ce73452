"""Calls that wait let the other greenlets run, under gevent and eventlet."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Callable

import pytest

if TYPE_CHECKING:
    from conftest import Child

GEVENT = """
from gevent import monkey
monkey.patch_all()
from gevent import spawn, sleep
kill = lambda greenlet: greenlet.kill()
wait = lambda greenlet: greenlet.get()
"""

GEVENT_UNPATCHED = """
from gevent import spawn, sleep
kill = lambda greenlet: greenlet.kill()
wait = lambda greenlet: greenlet.get()
"""

EVENTLET = """
import eventlet
eventlet.monkey_patch()
from eventlet import spawn, sleep
kill = lambda greenlet: greenlet.kill()
wait = lambda greenlet: greenlet.wait()
"""

BEGIN = """
import errno, os, signal, sendfd
signal.alarm(10)
me = os.getpid()
inbox = sendfd.Inbox()
got = []
turns = 0

def count_turns():
    global turns
    while True:
        turns += 1
        sleep(0.001)

def take():
    with inbox.recv() as parcel:
        got.append(parcel.data)
    return parcel.data

counting = spawn(count_turns)
"""

TIMEOUT = """
try:
    inbox.recv(timeout=0.5)
except TimeoutError as error:
    print(error.errno == errno.ETIMEDOUT, turns > 10)
"""

LATER = """
waiting = spawn(take)
sleep(0.01)
sendfd.send(me, 0, data=b"later")
print(wait(waiting), turns > 1)
"""

MANY = """
waiting = [spawn(take) for _ in range(100)]
sleep(0.01)
for greenlet in waiting[:50]:
    kill(greenlet)
for i in range(50):
    sendfd.send(me, 0, data=b"%d" % i)
for greenlet in waiting[50:]:
    wait(greenlet)
print(got == [b"%d" % i for i in range(50)])
"""

CLOSED = """
def until_closed():
    try:
        inbox.recv()
    except OSError as error:
        return error.errno

waiting = [spawn(until_closed) for _ in range(3)]
sleep(0.01)
inbox.close()
print([wait(greenlet) for greenlet in waiting] == [errno.EBADF] * 3)
"""

FULL = """
sent = 0
try:
    while True:
        sendfd.send(me, 0)
        sent += 1
except BlockingIOError:
    pass
try:
    sendfd.send(me, 0, timeout=0.5)
except TimeoutError:
    print("full", turns > 10)
waiting = spawn(sendfd.send, me, 0, data=b"last", timeout=None)
sleep(0.01)
for _ in range(sent + 1):
    last = take()
wait(waiting)
print(last)
"""

OTHER_THREAD = """
import importlib
threading = importlib.import_module("threading")
try:
    from gevent import monkey
    start = monkey.get_original("_thread", "start_new_thread")
except ImportError:
    start = eventlet.patcher.original("_thread").start_new_thread
reading, writing = os.pipe()

def in_a_thread():
    take()
    os.write(writing, b"x")

start(in_a_thread, ())
sleep(0.05)
sendfd.send(me, 0, data=b"to a thread")
os.read(reading, 1)
print(got)
"""

TAKEN = """
outbox = sendfd.Outbox(me)
outbox.send(0)
outbox.send(0)
waiting = [spawn(outbox.wait_taken) for _ in range(3)]
sleep(0.01)
take()
try:
    outbox.wait_taken(timeout=0.5)
except TimeoutError:
    print("not yet", turns > 10)
take()
print([wait(greenlet) for greenlet in waiting])
outbox.close()
"""

ASKED = """
def answer():
    for _ in range(20):
        with inbox.recv() as parcel:
            sleep(0.001)
            parcel.reply(0, data=parcel.data)

def ask(number):
    with sendfd.request(me, 0, data=b"%d" % number) as parcel:
        return len(parcel), int(parcel.data)

answering = spawn(answer)
asking = [spawn(ask, number) for number in range(20)]
print([wait(greenlet) for greenlet in asking] == [(1, number) for number in range(20)])
"""

OPENED_LATE = """
def open_it():
    outbox = sendfd.Outbox(me, signal=51, timeout=None)
    outbox.close()
    return "opened"

waiting = spawn(open_it)
sleep(0.001)
began = turns
while turns < began + 10:
    sleep(0.001)
other = sendfd.Inbox(51)
print(wait(waiting))
"""

CASES = {
    "timeout": (TIMEOUT, ["True True"]),
    "later": (LATER, ["b'later' True"]),
    "many": (MANY, ["True"]),
    "closed": (CLOSED, ["True"]),
    "full": (FULL, ["full True", "b'last'"]),
    "taken": (TAKEN, ["not yet True", "[None, None, None]"]),
    "asked": (ASKED, ["True"]),
    "opened late": (OPENED_LATE, ["opened"]),
    "another thread": (OTHER_THREAD, ["[b'to a thread']"]),
}


@pytest.mark.parametrize(("code", "says"), CASES.values(), ids=CASES)
@pytest.mark.parametrize(
    "patched",
    [GEVENT, GEVENT_UNPATCHED, EVENTLET],
    ids=["gevent", "gevent without patching", "eventlet"],
)
def test_what_waits_lets_others_run(
    child: Callable[..., Child], patched: str, code: str, says: list[str]
) -> None:
    needed = "eventlet" if patched == EVENTLET else "gevent"
    if importlib.util.find_spec(needed) is None:  # Importing them changes the process.
        pytest.skip(f"needs {needed}")
    # Eventlet warns of its own end.
    program = child("import warnings; warnings.simplefilter('ignore')" + patched + BEGIN + code)
    assert [program.said() for _ in says] == says
