"""Whether the promises were kept: relays' copies against what hosts and PagerDuty saw."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from store.lmdb_copy import LmdbCopy
from store.nats_log import NatsLog
from store.records import DeliveryStarted, EventAccepted, EventId
from store.replicated_journal import ReplicatedJournal
from store.replication import Assembly, Committed, TakenOver, part_in
from tests.chaos.traffic import Call, Name, Traffic

_LIMIT = 1 << 34
_SHOWN = 5


class History(NamedTuple):
    """What a copy says of a key: events in the order of acceptance, and each one's attempts."""

    accepted: list[Name]
    ids: list[EventId]
    attempts: dict[Name, list[int]]


class Judgement(NamedTuple):
    """Figures of a run, and which promises were broken."""

    acknowledged: int
    arrived: int
    repeated: int
    takeovers: int
    broken: list[str]

    def __str__(self) -> str:
        return (
            f"acknowledged {self.acknowledged}, arrived {self.arrived}, repeated {self.repeated} "
            f"in {self.takeovers} takeovers"
        )


def read_copy(directory: Path, log: NatsLog) -> dict[str, History]:
    """A relay's copy by key, once it has all of the log; the relay must have stopped."""
    copy = LmdbCopy(directory, limit=_LIMIT)
    try:
        ReplicatedJournal(copy, log, "judge").follow()
        return {key: _history(copy, queue) for queue, key in copy.queues().items()}
    finally:
        copy.close()


def _history(copy: LmdbCopy, queue: int) -> History:
    history, names = History([], [], defaultdict(list)), {}
    for entry in copy.entries(queue):  # type: ignore[arg-type]
        record = entry.record
        if isinstance(record, EventAccepted):
            details = msgspec.json.decode(record.body)["payload"]["custom_details"]
            name = names[record.event] = (details["host"], details["number"])
            history.accepted.append(name)
            history.ids.append(record.event)
        elif isinstance(record, DeliveryStarted):
            history.attempts[names[record.event]].append(entry.seq)
    return history


def takeovers(log: NatsLog) -> list[int]:
    """For each takeover the number of the newest record before it."""
    found, newest, assembly = [], 0, Assembly()
    first, _ = log.bounds()
    for message in log.read(first - 1):
        whole = assembly.add(message.seq, part_in(message))
        match whole and whole.change:
            case Committed(newest=newest):
                pass
            case TakenOver():
                found.append(newest)
    return found


def judged(
    traffic: Traffic, copies: Sequence[dict[str, History]], taken_over: Sequence[int]
) -> Judgement:
    """`copies` are all relays' copies, and one that was filled from the log alone."""
    found = [
        f"copy {number} is not the same as the first one"
        for number, copy in enumerate(copies)
        if copy != copies[0]
    ]
    calls: dict[str, list[Call]] = defaultdict(list)
    for call in traffic.calls:
        calls[call.key].append(call)
    names: dict[str, list[Name]] = defaultdict(list)
    for host, events in enumerate(traffic.acknowledged):
        for key, number in events:
            names[key].append((host, number))
    repeated = 0
    for key in traffic.keys:
        history = copies[0].get(key, History([], [], {}))
        found += [
            f"key {key[-2:]}: {what}" for what in _lost_or_twice(names[key], calls[key], history)
        ]
        found += [f"key {key[-2:]}: {what}" for what in _out_of_order(calls[key], history)]
        again = _again(calls[key])
        repeated += len(again)
        found += [
            f"key {key[-2:]}: {what}" for what in _wrongly_repeated(again, history, taken_over)
        ]
    arrived = len({call.name for call in traffic.calls if call.status == 202})
    acknowledged = sum(map(len, names.values()))
    return Judgement(acknowledged, arrived, repeated, len(taken_over), found)


def _lost_or_twice(
    acknowledged: Sequence[Name], calls: Sequence[Call], history: History
) -> Iterator[str]:
    arrived = {call.name for call in calls if call.status == 202}
    if lost := [name for name in acknowledged if name not in arrived]:
        yield f"{len(lost)} acknowledged events never arrived: {_some(lost)}"
    if unknown := arrived - set(history.accepted):
        yield f"{len(unknown)} events arrived that the log does not have: {_some(unknown)}"
    for what, counts in (("events", Counter(history.accepted)), ("ids", Counter(history.ids))):
        if twice := [each for each, count in counts.items() if count > 1]:
            yield f"{len(twice)} {what} were accepted twice: {_some(twice)}"


def _out_of_order(calls: Sequence[Call], history: History) -> Iterator[str]:
    of_host: dict[int, int] = {}
    for host, number in history.accepted:
        if number <= of_host.get(host, -1):
            yield f"the log has event {number} of host {host} behind {of_host[host]}"
        of_host[host] = number
    taken = [call.name for call in calls if call.status == 202]
    once = [name for place, name in enumerate(taken) if place == 0 or name != taken[place - 1]]
    if once != history.accepted:
        differs = next(
            (
                place
                for place, (mine, its) in enumerate(zip(once, history.accepted, strict=False))
                if mine != its
            ),
            min(len(once), len(history.accepted)),
        )
        near = slice(max(0, differs - 2), differs + 4)
        yield (
            f"arrived in another order than accepted, from number {differs} on: {once[near]}, "
            f"accepted {history.accepted[near]}"
        )


def _again(calls: Sequence[Call]) -> list[Name]:
    """The events of calls that only repeat one before."""
    seen: set[Name] = set()
    again = []
    for call in calls:
        if call.status == 202:
            if call.name in seen:
                again.append(call.name)
            seen.add(call.name)
    return again


def _wrongly_repeated(
    again: Sequence[Name], history: History, taken_over: Sequence[int]
) -> Iterator[str]:
    """Each needs an attempt of its own behind a takeover, which no other one of the key has."""
    used: set[int] = set()
    for name in again:
        attempts = history.attempts.get(name, [])
        between = {
            place
            for place, newest in enumerate(taken_over)
            if attempts and attempts[0] <= newest < attempts[-1]
        }
        if len(attempts) < 2:
            yield f"event {name} was repeated, and one attempt alone is recorded"
        elif not between - used:
            yield f"event {name} was repeated without a takeover of its own: attempts {attempts}"
        else:
            used.add(min(between - used))


def _some(names: object) -> str:
    return ", ".join(map(str, sorted(names)[:_SHOWN]))  # type: ignore[call-overload]
