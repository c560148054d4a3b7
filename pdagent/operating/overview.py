"""All queues at a glance: how many are in which state, and the rows that were asked for.

Idle queues are all alike and are not looked at one by one, unless the question is about each: one
with `match`, or in the order of deliveries or errors.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain, islice
from math import inf
from typing import Any, get_args

import msgspec

from actors.core.accepting import queue_full
from actors.core.commands import Policy
from actors.core.state import QueueState
from actors.core.verdict import DeferReason
from actors.directory import QueueEntry
from pdagent.operating import LONG_ATTEMPT
from pdagent.operating.known import KnownQueues
from pdagent.operating.reading import steady
from pdagent.operating.rows import Json, timestamp

_Order = Callable[[QueueEntry], tuple[Any, ...]]
# Those of equal rank stand in the order of their names.
_ORDERS: dict[str, _Order] = {
    "waiting": lambda entry: (-len(entry.state.waiting), -len(entry.state.dead)),
    "oldest": lambda entry: (oldest(entry.state) or inf,),
    "dead": lambda entry: (-len(entry.state.dead), -len(entry.state.waiting)),
    "delivered": lambda entry: (-entry.state.counters.delivered,),
    "error": lambda entry: (-(entry.state.last_error_at or 0.0),),
    "name": lambda entry: (),
}
_LAST_BUT_FOR_NAME = {"waiting", "oldest", "dead", "name"}
"""In these orders, all idle queues come last."""
MOST_ROWS = 1_000_000
SORTS = tuple(_ORDERS)
"""Most waiting, longest waiting, most dead letters, most delivered, latest error first; by name."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows: `match` is part of a name or a state, None for `limit` means all."""

    sort: str | None = None
    match: str = ""
    offset: int = 0
    limit: int | None = None


def oldest(state: QueueState) -> float | None:
    """When the longest waiting event was accepted, in seconds since 1970."""
    return steady(lambda: state.oldest_accepted_at)


def in_flight_since(state: QueueState) -> float | None:
    """When the attempt that is under way began, in seconds since 1970; None if none is."""
    return state.last_started_at if state.in_flight is not None else None


def condition(entry: QueueEntry) -> str:
    """`quarantined`, `held`, `backing_off` or `active`, whichever says most."""
    if entry.phase == "quarantined":
        return "quarantined"
    return steady(lambda: entry.state.condition)


def deferral(state: QueueState) -> str | None:
    """Why the event at the head of the queue was deferred, None if it was not."""
    head = steady(state.waiting.head)
    if head is None or head.state != "deferred" or head.last_error is None:
        return None
    reason = head.last_error.partition(":")[0]
    return reason if reason in get_args(DeferReason) else None


class Overview:
    """What queues are like together, and the `rows` of them that are wanted.

    They are those in `only`, otherwise all that are `known`. A queue is full when it takes no more
    events, see `actors.core.accepting.queue_full`.
    """

    def __init__(
        self,
        known: KnownQueues,
        wanted: Wanted,
        policy: Policy,
        only: Sequence[QueueEntry] | None = None,
    ) -> None:
        self._names = known.names
        self._policy = policy
        self._count = known.count() if only is None else len(only)
        self._notable = known.notable() if only is None else only
        self._matching = self._count
        self.rows: Sequence[QueueEntry]
        match = wanted.match.strip().lower()
        if (
            only is not None
            or match
            or not (wanted.sort is None or wanted.sort in _LAST_BUT_FOR_NAME)
        ):
            shown = known.entries() if only is None else only
            if match:
                shown = [entry for entry in shown if self._matches(entry, match)]
            self._matching = len(shown)
            self.rows = self._chosen(shown, wanted)
        elif wanted.sort is None:
            self.rows = known.entries(wanted.offset, wanted.limit)
        else:
            self.rows = self._with_idle_last(known, wanted)

    def summary(self) -> Json:
        """Counts of queues; the longest waiting event of all, the longest attempt under way."""
        conditions = Counter(map(condition, self._notable))
        dead = [entry for entry in self._notable if entry.state.dead]
        states = [entry.state for entry in self._notable]
        waits_since, longest = self._earliest(oldest)
        under_way_since, slowest = self._earliest(in_flight_since)
        full = [entry for entry in self._notable if self._is_full(entry)]
        return {
            "known": self._count,
            "matching": self._matching,
            "with_waiting": sum(bool(state.waiting) for state in states),
            "with_dead_letters": len(dead),
            "dead_letters_queue": self._first(dead),
            "backing_off": conditions["backing_off"],
            "backing_off_queue": self._first_that_is("backing_off"),
            "held": conditions["held"],
            "held_queue": self._first_that_is("held"),
            "quarantined": conditions["quarantined"],
            "quarantined_queue": self._first_that_is("quarantined"),
            "paced": sum(state.pace.interval > 0 for state in states),
            "full": len(full),
            "full_queue": self._first(full),
            "oldest_waiting_at": timestamp(waits_since),
            "oldest_waiting_queue": longest,
            "longest_in_flight_since": timestamp(under_way_since),
            "longest_in_flight_queue": slowest,
        }

    def _with_idle_last(self, known: KnownQueues, wanted: Wanted) -> Sequence[QueueEntry]:
        ranked = [entry for entry in self._notable if entry.state.waiting or entry.state.dead]
        if wanted.sort == "name":
            ranked = []
        end = self._count if wanted.limit is None else wanted.offset + wanted.limit
        if len(ranked) >= end:
            return self._chosen(ranked, wanted)
        ranked = self._sorted(ranked, wanted.sort, len(ranked))
        if wanted.sort == "oldest":  # one with dead letters alone is no more than an idle one
            ranked = [entry for entry in ranked if oldest(entry.state) is not None]
        ids = {entry.id for entry in ranked}
        others = (entry for entry in known.by_name() if entry.id not in ids)
        return list(islice(chain(ranked, others), wanted.offset, end))

    def _chosen(self, shown: Sequence[QueueEntry], wanted: Wanted) -> Sequence[QueueEntry]:
        end = len(shown) if wanted.limit is None else wanted.offset + wanted.limit
        if wanted.sort is not None:
            shown = self._sorted(shown, wanted.sort, end)
        return shown[wanted.offset : end]

    def _sorted(
        self, shown: Sequence[QueueEntry], sort: str | None, count: int
    ) -> list[QueueEntry]:
        order = _ORDERS[sort or "name"]
        ranks = ((order(entry), self._names.place_of(entry), entry) for entry in shown)
        return [entry for *_, entry in heapq.nsmallest(count, ranks, key=lambda rank: rank[:2])]

    def _earliest(
        self, since: Callable[[QueueState], float | None]
    ) -> tuple[float | None, str | None]:
        """The least of these times, and the name of its queue."""
        times = ((at, entry) for entry in self._notable if (at := since(entry.state)) is not None)
        at, entry = min(times, key=lambda each: (each[0], each[1].id), default=(None, None))
        return at, None if entry is None else self._names.of(entry.routing_key)

    def _first_that_is(self, what: str) -> str | None:
        return self._first([entry for entry in self._notable if condition(entry) == what])

    def _first(self, entries: Sequence[QueueEntry]) -> str | None:
        """The name of the oldest of these queues."""
        entry = min(entries, key=lambda entry: entry.id, default=None)
        return None if entry is None else self._names.of(entry.routing_key)

    def _is_full(self, entry: QueueEntry) -> bool:
        return queue_full(entry.state, self._policy) is not None

    def _matches(self, entry: QueueEntry, match: str) -> bool:
        if match in self._names.of(entry.routing_key).lower():
            return True
        words = condition(entry)
        if words == "backing_off" and deferral(entry.state) == "rate_limited":
            words += " rate_limited"
        if entry.state.pace.interval > 0:
            words += " paced"
        since = in_flight_since(entry.state)
        if since is not None and time.time() - since > LONG_ATTEMPT:
            words += " sending"
        if entry.state.dead:
            words += " dead_lettered"
        if self._is_full(entry):
            words += " full"
        return match.replace(" ", "_") in words or match in words.replace("_", " ")
