"""The state of one queue: what waits, what died, how it fares. Bodies stay in the journal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from actors.core.dead_letters import DeadLetter, DeadLetters
from actors.core.jobs import Job, Jobs
from actors.core.occurrence import Latest, RememberedAlerts
from actors.core.pace import Pace
from actors.core.waiting import StoredEvent, Waiting, WaitingEvent, restored, stored
from store.records import EventId, QueueId

QueueCondition = Literal["active", "backing_off", "held"]

ATTEMPTS_KEPT = 200
"""Of an event with more than twice as many, only the records of the last attempts are kept."""


class Counters(msgspec.Struct, kw_only=True, gc=False):
    """How often each thing happened, ever: they outlive the records that retention removes."""

    accepted: int = 0
    started: int = 0
    delivered: int = 0
    deferred: int = 0
    dead_lettered: int = 0
    retried: int = 0
    discarded: int = 0
    restarts: int = 0


# Shared by all queues that have nothing to put there: empty tables for each would cost more than
# all the rest.
_NONE_WAITS = Waiting()
_NONE_DIED = DeadLetters()
_NONE_KNOWN = RememberedAlerts()
_NO_JOBS = Jobs()
_NO_PACE = Pace()


class QueueState(msgspec.Struct, kw_only=True, gc=False):
    """One queue, as folded from its records by `actors.core.evolve`, which alone changes it.

    `waiting` is in order of delivery and takes about `waiting_room` bytes of the journal. A wait
    noted at `deferred_at` ends at `not_before`; `pace` follows from limits of the key's rate.
    `alerts` holds those whose events said when they occurred, `jobs` those that report their ends.
    What is empty is shared with other queues: nothing is put in but by `own_waiting` and so on.
    """

    queue: QueueId
    waiting: Waiting = msgspec.field(default_factory=lambda: _NONE_WAITS)
    dead: DeadLetters = msgspec.field(default_factory=lambda: _NONE_DIED)
    alerts: RememberedAlerts = msgspec.field(default_factory=lambda: _NONE_KNOWN)
    jobs: Jobs = msgspec.field(default_factory=lambda: _NO_JOBS)
    waiting_room: int = 0
    next_position: int = 1
    in_flight: EventId | None = None
    hold: str | None = None
    failures: int = 0
    deferred_at: float = 0.0
    not_before: float = 0.0
    pace: Pace = msgspec.field(default_factory=lambda: _NO_PACE)
    last_started_at: float = 0.0
    last_delivered_at: float | None = None
    last_error: str | None = None
    last_error_at: float | None = None
    counters: Counters = msgspec.field(default_factory=Counters)

    def own_waiting(self) -> Waiting:
        """`waiting`, to be changed."""
        if self.waiting is _NONE_WAITS:
            self.waiting = Waiting()
        return self.waiting

    def own_dead(self) -> DeadLetters:
        """`dead`, to be changed."""
        if self.dead is _NONE_DIED:
            self.dead = DeadLetters()
        return self.dead

    def own_alerts(self) -> RememberedAlerts:
        """`alerts`, to be changed."""
        if self.alerts is _NONE_KNOWN:
            self.alerts = RememberedAlerts()
        return self.alerts

    def own_jobs(self) -> Jobs:
        """`jobs`, to be changed."""
        if self.jobs is _NO_JOBS:
            self.jobs = Jobs()
        return self.jobs

    def own_pace(self) -> Pace:
        """`pace`, to be changed."""
        if self.pace is _NO_PACE:
            self.pace = Pace()
        return self.pace

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
        head = self.waiting.head()
        return head is not None and (self.not_before > 0 or head.state == "deferred")

    @property
    def is_rate_limited(self) -> bool:
        """Whether the wait is one that PagerDuty asked of the key, not of one event."""
        return self.not_before > 0 and self.pace.refused_at == self.deferred_at

    @property
    def oldest_accepted_at(self) -> float | None:
        """When the longest waiting event was accepted (a retried one keeps its first time)."""
        head = self.waiting.head()
        return None if head is None else head.accepted_at


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A queue at one moment. Nothing in it changes any more: any thread may encode it."""

    state: QueueState
    waiting: list[WaitingEvent]
    dead: list[DeadLetter]
    alerts: list[tuple[str, Latest]]
    jobs: list[tuple[str, Job]]


_IN_A_PIECE = 1_000


class _More(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A piece of the stored form: lists keep the order that maps would have to promise."""

    waiting: list[StoredEvent] = []
    dead: list[DeadLetter] = []
    alerts: list[tuple[str, Latest]] = []
    jobs: list[tuple[str, Job]] = []


class _Folded(_More, kw_only=True):
    """The first piece, in snapshots of earlier versions the only one."""

    state: QueueState


_encoder = msgspec.msgpack.Encoder()
# msgspec knows dict, but not that its subclasses are made from one.
_decoder = msgspec.msgpack.Decoder(_Folded, dec_hook=lambda kind, value: kind(value))
_more_decoder = msgspec.msgpack.Decoder(_More)


def picture(state: QueueState) -> Picture:
    """The state as it is now. Copies references: a millisecond for a hundred thousand events."""
    bare = msgspec.structs.replace(
        state,
        waiting=_NONE_WAITS,
        dead=_NONE_DIED,
        alerts=_NONE_KNOWN,
        jobs=_NO_JOBS,
        pace=msgspec.structs.replace(state.pace),
        counters=msgspec.structs.replace(state.counters),
    )
    return Picture(
        state=bare,
        waiting=list(state.waiting.values()),
        dead=list(state.dead.values()),
        alerts=list(state.alerts.items()),
        jobs=[(key, msgspec.structs.replace(job)) for key, job in state.jobs.items()],
    )


def encoded(taken: Picture) -> Iterator[bytes]:
    """A picture as bytes, in pieces that each hold up other threads for about a millisecond.

    Those of equal states are equal.
    """
    waiting, dead, alerts = taken.waiting, taken.dead, taken.alerts
    count = max(1, len(waiting), len(dead), len(alerts))
    for part in (slice(begin, begin + _IN_A_PIECE) for begin in range(0, count, _IN_A_PIECE)):
        parts: dict[str, Any] = {
            "waiting": [stored(event) for event in waiting[part]],
            "dead": dead[part],
            "alerts": alerts[part],
        }
        first = part.start == 0
        piece = _Folded(state=taken.state, jobs=taken.jobs, **parts) if first else _More(**parts)
        yield _encoder.encode(piece)


def to_snapshot(state: QueueState) -> tuple[bytes, ...]:
    """The state as bytes, in pieces; equal states give equal bytes."""
    return tuple(encoded(picture(state)))


def from_snapshot(pieces: Iterable[bytes]) -> QueueState:
    """The inverse of `to_snapshot`."""
    remaining = iter(pieces)
    folded = _decoder.decode(next(remaining))
    for piece in remaining:
        more = _more_decoder.decode(piece)
        folded.waiting += more.waiting
        folded.dead += more.dead
        folded.alerts += more.alerts
    state = folded.state
    state.waiting = restored(folded.waiting)
    state.dead = DeadLetters(folded.dead)
    state.alerts = RememberedAlerts(folded.alerts)
    state.jobs = Jobs(folded.jobs)
    compact(state)
    return state


def compact(state: QueueState) -> None:
    """Let go of tables that have become empty."""
    state.waiting = state.waiting or _NONE_WAITS
    state.dead = state.dead or _NONE_DIED
    state.alerts = state.alerts or _NONE_KNOWN
    state.jobs = state.jobs or _NO_JOBS
    if state.pace == _NO_PACE:
        state.pace = _NO_PACE


def summarise(state: QueueState) -> None:
    """As `compact`, and without the alerts: the next Sequencer reads the state from the journal."""
    state.alerts = _NONE_KNOWN
    compact(state)
