#!/usr/bin/env python3
"""The account of made-up papers, each with one thing wrong in it."""

from __future__ import annotations

import unittest
from dataclasses import replace
from typing import Any

from account import Account, Death
from layout import (
    ABOUT,
    ALL_TAKEN,
    BY_OUTBOX,
    COUNTERS,
    DRAINED,
    EXEC,
    NOTHING,
    RUNNING,
    SENT,
    SOME_LOST,
    Inbox,
    Log,
    Sent,
    Taken,
)

UID, SENDER, RECEIVER, SIGNO, SECOND = 1000, 70, 80, 50, 10**9
FIRST = 5 << 32


def inbox(index: int = 0, **other: Any) -> Inbox:
    times = {"t_open": 0, "t_ready": 1, "t_leave": 0, "t_gone": 0}
    made = Inbox(index, RECEIVER, DRAINED, RECEIVER, SIGNO, 0, 1, **times, inode=9, start=9)
    return replace(made, **other)


def sent(sequence: int = 0, **other: Any) -> Sent:
    at = 10 + 10 * sequence
    return replace(Sent(5, FIRST + sequence, 1, 0, 0, SENT, 0, 0, at, at + 5), **other)


def taken(sequence: int = 0, **other: Any) -> Taken:
    return replace(Taken(FIRST + sequence, 1, 0, 0, SENDER, UID), **other)


class Test(unittest.TestCase):
    def complaints(
        self,
        sends: list[Sent],
        takes: list[Taken],
        inboxes: list[Inbox] | None = None,
        deaths: tuple[Death, ...] = (),
        *,
        ended: bool = False,
    ) -> str:
        zero = dict.fromkeys(COUNTERS, 0)
        senders = [Log(5, SENDER, 0, 0, ended, zero, sent=sends)]
        receivers = [Log(1, RECEIVER, 0, 0, True, zero, taken=takes)]
        account = Account(senders, receivers, inboxes or [inbox()], list(deaths), UID)
        account.run()
        return "\n".join(account.violations)

    def test_in_order(self) -> None:
        self.assertEqual(self.complaints([sent(), sent(1)], [taken(), taken(1)]), "")

    def test_lost(self) -> None:
        self.assertIn("lost, and its receiver lived", self.complaints([sent(), sent(1)], [taken(1)]))

    def test_twice(self) -> None:
        self.assertIn("was received before", self.complaints([sent()], [taken(), taken()]))

    def test_foreign(self) -> None:
        self.assertIn("is foreign", self.complaints([sent()], [taken(), taken(7)]))

    def test_wrong_pid_or_uid(self) -> None:
        self.assertIn("pid 71", self.complaints([sent()], [taken(pid=71)]))
        self.assertIn("uid 0", self.complaints([sent()], [taken(uid=0)]))

    def test_in_part(self) -> None:
        self.assertIn("was sent as 3", self.complaints([sent(count=3)], [taken(count=2)]))
        self.assertIn("was sent as 1 with 8 bytes", self.complaints([sent(len=8)], [taken(len=7)]))

    def test_received_after_an_error(self) -> None:
        self.assertIn("its send gave -11", self.complaints([sent(state=-11)], [taken()]))

    def test_other_inbox(self) -> None:
        other = inbox(1, signo=SIGNO + 1)
        self.assertIn("was meant for", self.complaints([sent()], [taken(inbox=1)], [inbox(), other]))
        later = inbox(1, t_open=100, t_ready=101)
        self.assertIn("was meant for", self.complaints([sent()], [taken(inbox=1)], [inbox(), later]))

    def test_cut_off(self) -> None:
        self.assertEqual(self.complaints([sent(state=ABOUT)], []), "")
        self.assertIn("without an answer", self.complaints([sent(state=ABOUT)], [], ended=True))

    def test_lost_with_a_killed_receiver(self) -> None:
        killed, death = inbox(cause=RUNNING), Death(RECEIVER, 100, 110)
        self.assertEqual(self.complaints([sent(), sent(1)], [taken()], [killed], (death,)), "")
        overtaken = self.complaints([sent(), sent(1)], [taken(1)], [killed], (death,))
        self.assertIn("though a later one", overtaken)

    def test_in_the_hands_of_threads(self) -> None:
        killed, death = inbox(cause=RUNNING, consumers=2), Death(RECEIVER, 100, 110)
        sends = [sent(), sent(1), sent(2)]
        self.assertEqual(self.complaints(sends, [taken(), taken(2)], [killed], (death,)), "")
        self.assertIn("though a later one", self.complaints(sends, [taken(2)], [killed], (death,)))

    def test_sent_long_after_the_death(self) -> None:
        killed, death = inbox(cause=RUNNING), Death(RECEIVER, 100, 110)
        late = sent(t0=5 * SECOND, t1=5 * SECOND + 1)
        self.assertIn("receiver lived", self.complaints([late], [], [killed], (death,)))

    def test_exec_passes_the_address_on(self) -> None:
        before = inbox(cause=EXEC, t_leave=8)
        after = inbox(1, t_open=20, t_ready=21)
        self.assertEqual(self.complaints([sent(1)], [taken(1, inbox=1)], [before, after]), "")

    def test_told(self) -> None:
        def through(told: int, *received: int, **of_the_inbox: Any) -> str:
            sends = [sent(n, way=BY_OUTBOX, session=1, told=told) for n in range(3)]
            killed, death = inbox(cause=RUNNING, **of_the_inbox), Death(RECEIVER, 100, 110)
            return self.complaints(sends, [taken(n) for n in received], [killed], (death,))

        self.assertEqual(through(ALL_TAKEN, 0, 1, 2), "")
        self.assertEqual(through(ALL_TAKEN, 0, 1), "")
        self.assertIn("told that all is taken, and 2 were", through(ALL_TAKEN, 0))
        self.assertEqual(through(ALL_TAKEN, 0, consumers=2), "")
        self.assertEqual(through(SOME_LOST, 0, 1), "")
        self.assertIn("told that something is lost, and all", through(SOME_LOST, 0, 1, 2))
        self.assertEqual(through(NOTHING, 0), "")

    def test_an_outbox_leads_to_one_inbox(self) -> None:
        both = [inbox(cause=EXEC, t_leave=18), inbox(1, t_open=12, t_ready=13)]
        sends = [sent(n, way=BY_OUTBOX, session=1, told=ALL_TAKEN) for n in range(2)]
        self.assertIn("led to", self.complaints(sends, [taken(), taken(1, inbox=1)], both))

    def test_refused(self) -> None:
        self.assertIn("by an open inbox", self.complaints([sent(state=-111)], []))
        self.assertEqual(self.complaints([sent(state=-111)], [], [inbox(t_leave=12)]), "")


if __name__ == "__main__":
    unittest.main()
