"""The account: what was sent against what was received, and against who died when."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import layout
from layout import (
    ABOUT,
    ALL_TAKEN,
    CAUSES,
    CLOSED,
    DRAINED,
    EXEC,
    SENT,
    SOME_LOST,
    THREAD_END,
    Inbox,
    Log,
    Sent,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

# A child that a dead receiver was just forking holds its sockets until its first instructions ran.
GRACE = 1_000_000_000
FOR_EVER = 1 << 63
ECONNREFUSED, ESRCH = 111, 3


@dataclass
class Death:
    pid: int
    t_kill: int  # before the signal was sent, or the end was noticed
    t_reaped: int


class Account:
    def __init__(
        self, senders: list[Log], receivers: list[Log], inboxes: list[Inbox], deaths: list[Death], uid: int
    ) -> None:
        self.senders = {log.number: log for log in senders}
        self.receivers, self.inboxes, self.uid = receivers, inboxes, uid
        self.violations: list[str] = []
        self.lost: Counter[str] = Counter()
        self.descriptors: Counter[str] = Counter()
        self.by_slot: Counter[int] = Counter()
        self.by_kind: Counter[int] = Counter()
        self.deaths: dict[int, list[Death]] = defaultdict(list)
        for death in deaths:
            self.deaths[death.pid].append(death)
        self.images: dict[int, list[int]] = defaultdict(list)
        for log in receivers:
            self.images[log.pid].append(log.t_begin)
        self.at: dict[tuple[int, int], list[Inbox]] = defaultdict(list)
        for inbox in inboxes:
            if inbox.pid:
                self.at[inbox.id, inbox.signo].append(inbox)
        self.spans = {inbox.index: self._span(inbox) for inbox in inboxes}

    def _span(self, inbox: Inbox) -> tuple[int, int]:
        """Until when it surely took parcels, and from when on surely none can be lost in it."""
        deaths = [d for d in self.deaths[inbox.pid] if d.t_reaped >= inbox.t_open]
        killed, gone = (deaths[0].t_kill, deaths[0].t_reaped + GRACE) if deaths else (FOR_EVER, FOR_EVER)
        if inbox.t_gone:
            gone = inbox.t_gone
        elif inbox.cause == EXEC:
            gone = min([gone, *(t + GRACE for t in self.images[inbox.pid] if t >= inbox.t_leave)])
        return (inbox.t_leave or killed, gone)

    def complain(self, text: str) -> None:
        self.violations.append(text)

    def run(self) -> None:
        parcels = {(s.sender, s.first): s for log in self.senders.values() for s in log.sent}
        received = self._received(parcels)
        # The last that each inbox got by each link: what went that way before must have come, too.
        last: dict[tuple[int, ...], int] = defaultdict(int)
        for key, inbox in received.items():
            sent = parcels[key]
            way = (sent.sender, inbox, sent.way, sent.session)
            last[way] = max(last[way], sent.t0)
        overtaken: Counter[int] = Counter()
        for key, sent in parcels.items():
            self._sent(sent, key in received)
            if sent.state == SENT and key not in received:
                self._lost(sent, last, overtaken)
        self._told(parcels, received)

    def _received(self, parcels: dict[tuple[int, int], Sent]) -> dict[tuple[int, int], int]:
        received: dict[tuple[int, int], int] = {}
        for log in self.receivers:
            for taken in log.taken:
                key = (taken.first >> 32, taken.first)
                what = f"parcel {taken.first:#x} of {taken.count}, received by {self._name(taken.inbox)},"
                self.descriptors["received"] += taken.count
                self.by_slot[self.inboxes[taken.inbox].slot] += taken.count
                sent = parcels.get(key)
                if sent is None:
                    self.complain(f"{what} is foreign: nobody sent it")
                    continue
                if key in received:
                    self.complain(f"{what} was received before by {self._name(received[key])}")
                received[key] = taken.inbox
                self._compare(what, sent, self.inboxes[taken.inbox], taken)
        return received

    def _compare(self, what: str, sent: Sent, by: Inbox, taken: layout.Taken) -> None:
        sender, meant = self.senders[sent.sender], self.inboxes[sent.inbox]
        self.by_kind[sender.kind % 100] += taken.count
        if (taken.count, taken.len) != (sent.count, sent.len):
            self.complain(f"{what} with {taken.len} bytes, was sent as {sent.count} with {sent.len} bytes")
        if taken.pid != sender.pid or taken.uid != self.uid:
            self.complain(
                f"{what} is said to be of pid {taken.pid} uid {taken.uid}: it was pid {sender.pid} uid {self.uid}"
            )
        if (by.id, by.signo) != (meant.id, meant.signo) or (sent.state != ABOUT and by.t_open > sent.t1):
            self.complain(f"{what} was meant for {self._name(meant.index)}")
        if sent.state < 0:
            self.complain(f"{what} was received although its send gave {sent.state}")

    def _name(self, index: int) -> str:
        inbox = self.inboxes[index]
        return f"inbox {index} (slot {inbox.slot}, id {inbox.id}, signal {inbox.signo}, {CAUSES[inbox.cause]})"

    def _sent(self, sent: Sent, received: bool) -> None:
        what = f"parcel {sent.first:#x} of {sent.count} to {self._name(sent.inbox)}"
        if sent.state == SENT:
            self.descriptors["sent"] += sent.count
        elif sent.state == ABOUT:
            self.descriptors["received of senders killed in the call" if received else "cut off with their sender"] += (
                sent.count
            )
            if self.senders[sent.sender].ended:
                self.complain(f"{what}: its sender ended without an answer")
        else:
            self.descriptors["not sent, with an error"] += sent.count
            if -sent.state in (ECONNREFUSED, ESRCH):
                open_until = self.spans[sent.inbox][0]
                ready = self.inboxes[sent.inbox].t_ready
                if ready and ready <= sent.t0 and sent.t1 <= open_until:
                    self.complain(f"{what}: refused with {sent.state} by an open inbox")

    def _told(self, parcels: dict[tuple[int, int], Sent], received: dict[tuple[int, int], int]) -> None:
        """What an outbox was told of the parcels that went through it."""
        sessions: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        for key, sent in parcels.items():
            if sent.session and sent.state == SENT:
                sessions[sent.sender, sent.session].append(key)
        in_hands: Counter[int] = Counter()
        for (sender, session), keys in sessions.items():
            what = f"outbox {session} of {sender}, with {len(keys)} parcels to {self._name(parcels[keys[0]].inbox)}"
            inboxes = {received[key] for key in keys if key in received}
            if len(inboxes) > 1:
                self.complain(f"{what}: led to {', '.join(map(self._name, inboxes))}")
            missing = [parcels[key] for key in keys if key not in received]
            told = {parcels[key].told for key in keys}
            if told == {SOME_LOST} and not missing:
                self.complain(f"{what}: told that something is lost, and all was received")
            if told == {ALL_TAKEN} and missing:
                # Each thread of a receiver that is killed can die with one parcel in its hands.
                meant = self.inboxes[missing[0].inbox]
                possible = [x for x in self.at[meant.id, meant.signo] if x.cause not in (DRAINED, CLOSED, THREAD_END)]
                for inbox in possible:
                    in_hands[inbox.index] += len(missing)
                if all(in_hands[inbox.index] > inbox.consumers for inbox in possible):
                    self.complain(f"{what}: told that all is taken, and {len(missing)} were not received")

    def _lost(self, sent: Sent, last: dict[tuple[int, ...], int], overtaken: Counter[int]) -> None:
        meant = self.inboxes[sent.inbox]
        what = f"parcel {sent.first:#x} of {sent.count} from {sent.sender} (thread {sent.thread}) to {self._name(sent.inbox)}"
        possible = [
            x for x in self.at[meant.id, meant.signo] if x.t_open <= sent.t1 and sent.t0 <= self.spans[x.index][1]
        ]
        ended = [x for x in possible if x.cause != DRAINED]
        if not ended:
            self.complain(f"{what} is lost, and its receiver lived")
            return
        self.lost[CAUSES[ended[0].cause]] += sent.count
        if len(possible) > 1:
            return
        (inbox,) = ended
        if last[sent.sender, inbox.index, sent.way, sent.session] > sent.t1:
            # Each thread of a receiver can die with one parcel in its hands.
            overtaken[inbox.index] += 1
            orderly = inbox.cause in (CLOSED, THREAD_END)
            if overtaken[inbox.index] > (0 if orderly else inbox.consumers - 1):
                self.complain(f"{what} is lost, though a later one by the same link was received before the end")

    def counters(self, logs: Iterable[Log]) -> Counter[str]:
        total: Counter[str] = Counter()
        for log in logs:
            links = log.counters["links"]
            total.update(log.counters)
            total["links"] = max(total["links"] - links, links)
        return total

    def names(self) -> set[str]:
        return set().union(*(inbox.names() for inbox in self.inboxes if inbox.pid))
