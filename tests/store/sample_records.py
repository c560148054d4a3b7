"""Records and appends for tests of the store; fields that a test doesn't name are filled in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from store.port import Append, Journal
from store.records import (
    DeliveryStarted,
    Entry,
    EventAccepted,
    EventDelivered,
    EventId,
    QueueId,
    Record,
    RoutingKey,
)

FIRST, SECOND = QueueId(1), QueueId(2)
KEYS = {FIRST: RoutingKey("first-routing-key"), SECOND: RoutingKey("second-routing-key")}


def accepted(event: str, *, position: int = 1, at: float = 1.0, body: bytes = b"{}") -> Record:
    """A trigger was accepted."""
    return EventAccepted(
        event=EventId(event),
        position=position,
        kind="v2",
        action="trigger",
        dedup_key=f"dedup-{event}",
        body=body,
        at=at,
    )


def started(event: str, *, attempt: int = 1, at: float = 2.0) -> Record:
    """An attempt began."""
    return DeliveryStarted(event=EventId(event), attempt=attempt, at=at)


def delivered(event: str, *, at: float = 3.0) -> Record:
    """PagerDuty took the event."""
    return EventDelivered(event=EventId(event), status=202, at=at)


def append(queue: QueueId, *records: Record, snapshot: bytes | None = None) -> Append:
    """What one queue adds, its routing key with it."""
    pieces = None if snapshot is None else [snapshot]
    return Append(queue=queue, records=records, routing_key=KEYS[queue], snapshot=pieces)


def commit(journal: Journal, queue: QueueId, *records: Record) -> int:
    """Commit records of one queue in a transaction of their own."""
    return journal.commit([append(queue, *records)])


def scanned(journal: Journal, after: Mapping[QueueId, int] | None = None) -> Iterator[Entry]:
    """What `Journal.scan` gives, as single entries."""
    for queue, records in journal.scan(after or {}):
        yield from (Entry(seq, queue, record) for seq, record in records)


def records_of(entries: Iterator[Entry]) -> list[Record]:
    """The records without their places."""
    return [entry.record for entry in entries]


def seqs_of(entries: Iterator[Entry] | Sequence[Entry]) -> list[int]:
    """The places alone."""
    return [entry.seq for entry in entries]


def everything_in(journal: Journal) -> dict[str, Any]:
    """All that a journal tells, to be compared before and after something that must not matter."""
    queues = journal.queues()
    return {
        "queues": queues,
        "entries": list(scanned(journal)),
        "by_queue": {queue: list(journal.entries(queue)) for queue in queues},
        "snapshots": {queue: journal.snapshot(queue) for queue in queues},
        "events": journal.find_events("", 1_000_000),
        "agent_id": journal.agent_id,
    }
