"""Which entries nobody needs any more: selection only, the writer removes them.

Only what lies behind the queue's saved snapshot may go. An event's entries go together, once it
was delivered or discarded long enough ago.
"""

from __future__ import annotations

from store.port import Journal
from store.records import (
    DeliveryDeferred,
    DeliveryStarted,
    Entry,
    EventDelivered,
    EventDiscarded,
    EventId,
    QueueId,
    event_of,
)


def ended_before(journal: Journal, queue: QueueId, before: float, limit: int) -> list[Entry]:
    """About `limit` entries at most of events that ended before `before` (seconds since 1970).

    Reads from the oldest entry to the first that is not older, so it costs what it finds.
    """
    snapshot = journal.snapshot(queue)
    if snapshot is None:
        return []
    lives: dict[EventId, list[Entry]] = {}
    chosen: list[Entry] = []
    for entry in journal.entries(queue):
        if entry.seq > snapshot.seq or entry.record.at >= before or len(chosen) >= limit:
            break
        event = event_of(entry.record)
        if event is None:
            chosen.append(entry)
            continue
        lives.setdefault(event, []).append(entry)
        if isinstance(entry.record, EventDelivered | EventDiscarded):
            chosen += lives.pop(event)
    return chosen


def middle_attempts(journal: Journal, queue: QueueId, event: EventId, keep: int) -> list[Entry]:
    """The records of an event's attempts but for the last `keep`: so an outage of weeks fits."""
    accepted, snapshot = journal.accepted(event), journal.snapshot(queue)
    if accepted is None or snapshot is None:
        return []
    attempts = [
        entry
        for entry in journal.entries(queue, accepted.seq)
        if entry.seq <= snapshot.seq
        and isinstance(entry.record, DeliveryStarted | DeliveryDeferred)
        and entry.record.event == event
    ]
    return attempts[:-keep]
