"""Journal records: what happened, in the past tense, tagged and versioned.

A record's tag is its name on disk and never changes, nor does the order of its fields; a new field
comes last and gets a default, so that old journals stay readable. `at` is the wall clock in seconds
since 1970 (UTC); `queue` is not repeated in the record, it stands in the entry around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NewType, get_args

import msgspec

EventId = NewType("EventId", str)
QueueId = NewType("QueueId", int)
RoutingKey = NewType("RoutingKey", str)

EventKind = Literal["v1", "v2", "change"]


class Recorded(msgspec.Struct, frozen=True, array_like=True):
    """Base of all records. On disk, the fields stand in their order, without their names."""


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """A job's next success is expected by `by`, or the trigger `event` with `body` is accepted."""

    by: float
    event: EventId
    body: bytes

    def __repr__(self) -> str:
        return f"Expectation(by={self.by!r}, event={self.event!r})"


class JobReport(msgspec.Struct, frozen=True, kw_only=True):
    """An event with which a job reports its end: a trigger its failure, a resolve its success."""

    expected: Expectation | None = None


class EventAccepted(Recorded, frozen=True, kw_only=True, tag="EventAccepted"):
    """An event is ours now. `body` is the JSON to deliver with its key blanked to `""`.

    `fingerprint` is a digest of the request as it was sent, if it had an Idempotency-Key; empty in
    records of earlier versions. `occurred_at` is when the event occurred, at `at` or before, if its
    sender told. `job` makes it the report of a job.
    `passed` are the ids of the agents that have delivered it to this one, the latest first.
    """

    event: EventId
    position: int
    kind: EventKind
    action: str
    dedup_key: str
    body: bytes
    at: float
    warnings: tuple[str, ...] = ()
    source: str = ""
    fingerprint: bytes = b""
    occurred_at: float | None = None
    passed: tuple[str, ...] = ()
    job: JobReport | None = None

    @property
    def room(self) -> int:
        """About how many bytes of the journal the event takes, with its indexes.

        Measured with LMDB: a small record shares a page of 4,096 bytes, a larger one has its own.
        """
        expected = self.job.expected if self.job is not None else None
        size = len(self.body) + (0 if expected is None else len(expected.body))
        return size + (1_000 if size < 1_600 else 3_000)

    def __repr__(self) -> str:
        return f"EventAccepted(event={self.event!r}, kind={self.kind!r}, action={self.action!r})"


class DeliveryStarted(Recorded, frozen=True, kw_only=True, tag="DeliveryStarted"):
    """Attempt number `attempt` (from 1) is on its way to PagerDuty."""

    event: EventId
    attempt: int
    at: float


class DeliveryDeferred(Recorded, frozen=True, kw_only=True, tag="DeliveryDeferred"):
    """The attempt failed; repeated at `retry_at` or, while no key gets through, as a probe.

    `counts`: it counts against the event, because PagerDuty accepted another one since the
    previous attempt; None in records of version 1.0, where each attempt did. `link_failing`:
    PagerDuty answered, but accepted no event of any key.
    """

    event: EventId
    reason: str
    detail: str
    at: float
    retry_at: float
    seconds: float = 0.0
    counts: bool | None = None
    link_failing: bool = False


class EventDelivered(Recorded, frozen=True, kw_only=True, tag="EventDelivered"):
    """PagerDuty answered `status`: the event is done."""

    event: EventId
    status: int
    at: float
    seconds: float = 0.0


class EventDeadLettered(Recorded, frozen=True, kw_only=True, tag="EventDeadLettered"):
    """The event can't be delivered as it is; an operator may retry or discard it."""

    event: EventId
    reason: str
    detail: str
    at: float
    seconds: float = 0.0


class EventRetried(Recorded, frozen=True, kw_only=True, tag="EventRetried"):
    """Asked for by an operator: a dead letter goes to the tail, a deferred event is due now.

    `superseded_by` names the later event in spite of which a dead letter is retried, by force.
    """

    event: EventId
    position: int
    at: float
    forced: bool = False
    superseded_by: EventId | None = None


class EventDiscarded(Recorded, frozen=True, kw_only=True, tag="EventDiscarded"):
    """Given up: by an operator, overtaken when it was accepted by a trigger that occurred later, or
    a dead letter after its time or in a full journal (`reason`)."""

    event: EventId
    reason: str
    at: float


class QueueHeld(Recorded, frozen=True, kw_only=True, tag="QueueHeld"):
    """Deliveries of this queue stop; events are still accepted."""

    reason: str
    at: float


class QueueReleased(Recorded, frozen=True, kw_only=True, tag="QueueReleased"):
    """Deliveries of this queue go on."""

    at: float


class ActorRestarted(Recorded, frozen=True, kw_only=True, tag="ActorRestarted"):
    """A restarted queue actor found a delivery whose outcome is unknown."""

    reason: str
    at: float


Record = (
    EventAccepted
    | DeliveryStarted
    | DeliveryDeferred
    | EventDelivered
    | EventDeadLettered
    | EventRetried
    | EventDiscarded
    | QueueHeld
    | QueueReleased
    | ActorRestarted
)


class Entry(msgspec.Struct, frozen=True):
    """A committed record: its place in the journal (`seq`, from 1) and the queue it belongs to."""

    seq: int
    queue: QueueId
    record: Record


Numbered = tuple[int, Record]
"""A committed record of a queue that the context names, behind its `seq`."""


class AcceptedEntry(Entry, frozen=True):
    """The entry of an event's acceptance."""

    record: EventAccepted


QUEUE_RECORDS = tuple(kind for kind in get_args(Record) if "event" not in kind.__struct_fields__)
"""The types of records that are about a whole queue, not about one event."""


def event_of(record: Record) -> EventId | None:
    """The event that a record is about, or None for those about a whole queue."""
    return getattr(record, "event", None)


def of_one_event(event: EventId, entries: Iterable[Entry]) -> Iterator[Entry]:
    """Of one queue's entries, those about `event` or the queue, up to the one that ends it."""
    for entry in entries:
        about = event_of(entry.record)
        if about is None or about == event:
            yield entry
        if about == event and isinstance(entry.record, EventDelivered | EventDiscarded):
            return
