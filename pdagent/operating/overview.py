"""All queues at a glance: how many are in which state, and the rows that were asked for.

Going over all queues costs a few microseconds each; only rows that are shown cost more.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, get_args

import msgspec

from actors.core.accepting import queue_full
from actors.core.commands import Policy
from actors.core.state import QueueState
from actors.core.verdict import DeferReason
from actors.directory import QueueEntry
from pdagent.operating.names import QueueNames
from pdagent.operating.reading import steady
from pdagent.operating.rows import Json, timestamp

_Order = Callable[[QueueEntry, str], tuple[Any, ...]]
_ORDERS: dict[str, _Order] = {
    "waiting": lambda e, name: (-len(e.state.waiting), -len(e.state.dead), name),
    "oldest": lambda e, name: (oldest(e.state) or inf, name),
    "dead": lambda e, name: (-len(e.state.dead), -len(e.state.waiting), name),
    "delivered": lambda e, name: (-e.state.counters.delivered, name),
    "error": lambda e, name: (-(e.state.last_error_at or 0.0), name),
    "name": lambda e, name: (name.lower(), name),
}
LONG_ATTEMPT = 5.0
"""Seconds after which an attempt counts as `sending`: PagerDuty answers within one second."""
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
    """What `entries` are like together, and the `rows` of them that are wanted.

    A queue is full when it takes no more events, see `actors.core.accepting.queue_full`.
    """

    def __init__(
        self,
        entries: Sequence[QueueEntry],
        names: QueueNames,
        wanted: Wanted,
        policy: Policy,
    ) -> None:
        self._entries = entries
        self._policy = policy
        self._conditions = {entry.id: condition(entry) for entry in entries}
        shown = [(entry, names.of(entry.routing_key)) for entry in entries]
        match = wanted.match.strip().lower()
        if match:
            shown = [(entry, name) for entry, name in shown if self._matches(entry, name, match)]
        self._matching = len(shown)
        self.rows = [entry for entry, _ in _chosen(shown, wanted)]
        self._names = names

    def summary(self) -> Json:
        """Counts of queues; the longest waiting event of all, the longest attempt under way."""
        conditions = list(self._conditions.values())
        states = [entry.state for entry in self._entries]
        waits_since, longest = self._earliest(oldest)
        under_way_since, slowest = self._earliest(in_flight_since)
        full = [entry for entry in self._entries if self._is_full(entry)]
        return {
            "known": len(self._entries),
            "matching": self._matching,
            "with_waiting": sum(bool(state.waiting) for state in states),
            "with_dead_letters": sum(bool(state.dead) for state in states),
            "backing_off": conditions.count("backing_off"),
            "held": conditions.count("held"),
            "quarantined": conditions.count("quarantined"),
            "paced": sum(state.pace.interval > 0 for state in states),
            "full": len(full),
            "full_queue": self._names.of(full[0].routing_key) if full else None,
            "oldest_waiting_at": timestamp(waits_since),
            "oldest_waiting_queue": longest,
            "longest_in_flight_since": timestamp(under_way_since),
            "longest_in_flight_queue": slowest,
        }

    def _earliest(
        self, since: Callable[[QueueState], float | None]
    ) -> tuple[float | None, str | None]:
        """The least of these times, and the name of its queue."""
        times = ((at, entry) for entry in self._entries if (at := since(entry.state)) is not None)
        at, entry = min(times, key=lambda each: each[0], default=(None, None))
        return at, None if entry is None else self._names.of(entry.routing_key)

    def _is_full(self, entry: QueueEntry) -> bool:
        return queue_full(entry.state, self._policy) is not None

    def _matches(self, entry: QueueEntry, name: str, match: str) -> bool:
        if match in name.lower():
            return True
        words = self._conditions[entry.id]
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


def _chosen(
    shown: list[tuple[QueueEntry, str]], wanted: Wanted
) -> Sequence[tuple[QueueEntry, str]]:
    end = len(shown) if wanted.limit is None else wanted.offset + wanted.limit
    if wanted.sort is not None:
        order = _ORDERS[wanted.sort]
        shown = heapq.nsmallest(end, shown, key=lambda pair: order(*pair))
    return shown[wanted.offset : end]
