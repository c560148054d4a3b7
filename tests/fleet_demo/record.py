"""What the hosts acknowledged against what the sandbox received, and the verdict."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

from pdagent.demo.judgement import Judgement, judge

Name = tuple[int, int]
"""An event: the place of its host among the hosts, and its number among those of the host."""

LONGEST_SILENCE = 15.0
"""Seconds for which one fault may silence a key."""


class Noted(NamedTuple):
    """An event was acknowledged by its host, or arrived, `at` seconds since 1970."""

    at: float
    key: str
    name: Name


class Verdict(msgspec.Struct, frozen=True):
    """Counts of events, and the longest time in seconds in which a key's events only waited."""

    events: Judgement
    silence: float

    @property
    def promise_kept(self) -> bool:
        """Whether nothing was lost or out of order, and no key was silent for too long."""
        return self.events.promise_kept and self.silence <= LONGEST_SILENCE

    def lines(self) -> list[str]:
        """What is said at the very end."""
        said = "Every acknowledged event has arrived, each host's in order of acceptance."
        if not self.events.promise_kept:
            said = "A promise was broken: events were lost or arrived out of order."
        elif not self.promise_kept:
            said = f"A promise was broken: a key was silent for over {LONGEST_SILENCE:.0f} s."
        lines = [said]
        if repeated := self.events.duplicates:
            lines.append(
                f"{repeated} arrived twice, as their first outcome was not known; "
                f"incidents opened: {self.events.incidents}."
            )
        counts = {
            "accepted": str(self.events.accepted),
            "delivered": str(self.events.delivered),
            "lost": str(self.events.lost),
            "out of order": str(self.events.out_of_order),
            "repeated": str(self.events.duplicates),
        }
        lines += (f"{name:<15} {count:>6}" for name, count in counts.items())
        return [*lines, f"{'longest silence':<15} {self.silence:>6.1f} s"]


class Record:
    """All that was acknowledged and all that arrived; hosts' threads note the former."""

    def __init__(self) -> None:
        self.accepted: list[Noted] = []
        self.arrived: list[Noted] = []
        self.seen = 0
        """The number of the newest event that the sandbox has shown."""
        self._opened = 0

    def take(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Note further events, as the sandbox shows them."""
        for event in events:
            details = event["body"]["payload"]["custom_details"]
            source = event["body"]["payload"]["source"]
            name = (int(source.rpartition("-")[2]) - 1, int(details["number"]))
            self.arrived.append(Noted(event["at"], event["routing_key"], name))
            self.seen = max(self.seen, event["n"])
            self._opened += event["effect"] == "opened"

    def delivered(self) -> Counter[int]:
        """How many events of each host have arrived, repetitions not counted."""
        return Counter(host for host, _ in {noted.name for noted in self.arrived})

    def verdict(self, now: float) -> Verdict:
        """As it is `now`, seconds since 1970. The order is that of each host and key."""
        return Verdict(
            judge(_by_stream(self.accepted), _by_stream(self.arrived), incidents=self._opened),
            longest_silence(self, now),
        )


def _by_stream(noted: Iterable[Noted]) -> dict[str, list[int]]:
    streams: dict[str, list[int]] = defaultdict(list)
    for _, key, (host, number) in noted:
        streams[f"{key} {host}"].append(number)
    return streams


def longest_silence(record: Record, now: float, since: float = 0.0) -> float:
    """The longest time (s) in which an acknowledged event waited and none of its key arrived.

    Those that ended before `since` do not count.
    """
    arrivals: dict[str, list[float]] = defaultdict(list)
    first: dict[Name, float] = {}
    for at, key, name in record.arrived:
        arrivals[key].append(at)
        first.setdefault(name, at)
    longest = 0.0
    for at, key, name in list(record.accepted):
        times, end = arrivals[key], first.get(name, now)
        meanwhile = times[bisect_right(times, at) : bisect_left(times, end)]
        for before, after in pairwise((at, *meanwhile, end)):
            if after > since:
                longest = max(longest, after - before)
    return longest
