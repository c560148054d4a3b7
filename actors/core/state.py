"""The state of one queue: what waits, what died, how it fares. Bodies stay in the journal."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import msgspec

from actors.core.dead_letters import DeadLetter, DeadLetters
from actors.core.jobs import Job, Jobs
from actors.core.occurrence import Alerts, Latest
from actors.core.pace import Pace
from store.records import EventId, EventKind, QueueId

LONGEST_GAP = 3_600.0
"""Seconds that count at most between two failed attempts: `Retry-After` asks for no more. A clock
that was set, or an agent that did not run, must not end an event."""

EventState = Literal["queued", "in_flight", "deferred"]
QueueCondition = Literal["active", "backing_off", "held"]

ATTEMPTS_KEPT = 200
"""Of an event with more than twice as many, only the records of the last attempts are kept."""


class WaitingEvent(msgspec.Struct, kw_only=True):
    """An accepted event that is neither delivered nor given up.

    `strikes` are the attempts that count against it, `attempts` all of them. PagerDuty has failed
    on it for `failing_for` seconds until `failed_at`, None if it could not be reached since.
    `room` is about how many bytes of the journal it takes with the records of its attempts.
    `superseded_by` is that of the dead letter it was, should it become one again.
    """

    id: EventId
    position: int
    kind: EventKind
    action: str
    dedup_key: str
    accepted_at: float
    room: int = 0
    state: EventState = "queued"
    attempts: int = 0
    strikes: int = 0
    failing_for: float = 0.0
    failed_at: float | None = None
    next_attempt_at: float | None = None
    last_error: str | None = None
    superseded_by: EventId | None = None

    def failing_for_until(self, now: float) -> float:
        """For how many seconds PagerDuty has failed on it if it still does at `now`."""
        gap = 0.0 if self.failed_at is None else now - self.failed_at
        return self.failing_for + min(max(gap, 0.0), LONGEST_GAP)


class Counters(msgspec.Struct, kw_only=True):
    """How often each thing happened, ever: they outlive the records that retention removes."""

    accepted: int = 0
    started: int = 0
    delivered: int = 0
    deferred: int = 0
    dead_lettered: int = 0
    retried: int = 0
    discarded: int = 0
    restarts: int = 0

    def plus(self, other: Counters) -> Counters:
        """The sums."""
        names = self.__struct_fields__
        return Counters(**{name: getattr(self, name) + getattr(other, name) for name in names})


class QueueState(msgspec.Struct, kw_only=True):
    """One queue, as folded from its records by `actors.queue.evolve`, which alone changes it.

    `waiting` is in order of delivery and takes about `waiting_room` bytes of the journal. A wait
    noted at `deferred_at` ends at `not_before`; `pace` follows from limits of the key's rate.
    `alerts` holds those whose events said when they occurred, `jobs` those that report their ends.
    """

    queue: QueueId
    waiting: OrderedDict[EventId, WaitingEvent] = msgspec.field(default_factory=OrderedDict)
    dead: DeadLetters = msgspec.field(default_factory=DeadLetters)
    alerts: Alerts = msgspec.field(default_factory=Alerts)
    jobs: Jobs = msgspec.field(default_factory=Jobs)
    waiting_room: int = 0
    next_position: int = 1
    in_flight: EventId | None = None
    hold: str | None = None
    failures: int = 0
    deferred_at: float = 0.0
    not_before: float = 0.0
    pace: Pace = msgspec.field(default_factory=Pace)
    last_started_at: float = 0.0
    last_delivered_at: float | None = None
    last_error: str | None = None
    last_error_at: float | None = None
    counters: Counters = msgspec.field(default_factory=Counters)

    @property
    def condition(self) -> QueueCondition:
        """`held` by an operator, `backing_off` after a failure, else `active`."""
        if self.hold is not None:
            return "held"
        return "backing_off" if self.waits_after_failure else "active"

    @property
    def waits_after_failure(self) -> bool:
        """Whether the head is tried no sooner than `not_before`, unless an operator says so.

        It need not be the head itself that failed: a key whose rate PagerDuty limits keeps its
        wait when that event is discarded.
        """
        return bool(self.waiting) and (self.not_before > 0 or self._head().state == "deferred")

    @property
    def is_rate_limited(self) -> bool:
        """Whether the wait is one that PagerDuty asked of the key, not of one event."""
        return self.not_before > 0 and self.pace.refused_at == self.deferred_at

    @property
    def oldest_accepted_at(self) -> float | None:
        """When the longest waiting event was accepted (a retried one keeps its first time)."""
        return self._head().accepted_at if self.waiting else None

    def _head(self) -> WaitingEvent:
        return next(iter(self.waiting.values()))


class _Folded(msgspec.Struct, kw_only=True, array_like=False):
    """The stored form: lists keep the order that maps would have to promise."""

    state: QueueState
    waiting: list[WaitingEvent]
    dead: list[DeadLetter]
    alerts: list[tuple[str, Latest]] = []
    jobs: list[tuple[str, Job]] = []


_encoder = msgspec.msgpack.Encoder()
# msgspec knows dict, but not that an OrderedDict is made from one.
_decoder = msgspec.msgpack.Decoder(_Folded, dec_hook=lambda kind, value: kind(value))


def to_snapshot(state: QueueState) -> bytes:
    """The state as bytes; equal states give equal bytes."""
    bare = msgspec.structs.replace(
        state, waiting=OrderedDict(), dead=DeadLetters(), alerts=Alerts(), jobs=Jobs()
    )
    return _encoder.encode(
        _Folded(
            state=bare,
            waiting=list(state.waiting.values()),
            dead=list(state.dead.values()),
            alerts=list(state.alerts.items()),
            jobs=list(state.jobs.items()),
        )
    )


def from_snapshot(data: bytes) -> QueueState:
    """The inverse of `to_snapshot`."""
    folded = _decoder.decode(data)
    state = folded.state
    state.waiting = OrderedDict((event.id, event) for event in folded.waiting)
    state.dead = DeadLetters(folded.dead)
    state.alerts = Alerts(folded.alerts)
    state.jobs = Jobs(folded.jobs)
    return state


# Shared by all queues that are idle: empty tables for each would cost more than all the rest.
_NONE_WAITS: OrderedDict[EventId, WaitingEvent] = OrderedDict()
_NONE_DIED = DeadLetters()
_NONE_KNOWN = Alerts()
_NO_JOBS = Jobs()


def compact(state: QueueState) -> None:
    """Let go of empty tables. Before the state is changed again, `expand` it."""
    state.waiting = state.waiting or _NONE_WAITS
    state.dead = state.dead or _NONE_DIED
    state.alerts = state.alerts or _NONE_KNOWN
    state.jobs = state.jobs or _NO_JOBS


def summarise(state: QueueState) -> None:
    """As `compact`, for a state that is read from the journal before it is needed again."""
    state.alerts = _NONE_KNOWN
    compact(state)


def expand(state: QueueState) -> None:
    """The inverse of `compact`."""
    if state.waiting is _NONE_WAITS:
        state.waiting = OrderedDict()
    if state.dead is _NONE_DIED:
        state.dead = DeadLetters()
    if state.alerts is _NONE_KNOWN:
        state.alerts = Alerts()
    if state.jobs is _NO_JOBS:
        state.jobs = Jobs()
