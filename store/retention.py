"""Which entries nobody needs any more: selection only, the writer removes them.

Only what lies behind the queue's saved snapshot may go. An event's entries go together, once it
was delivered or discarded long enough ago.
"""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple

import msgspec

from store.port import Journal
from store.records import (
    DeliveryDeferred,
    DeliveryStarted,
    Entry,
    EventAccepted,
    EventDelivered,
    EventDiscarded,
    EventId,
    QueueId,
    event_of,
)


class Ended(NamedTuple):
    """Entries that may go, without the bodies of events, and how many were `read` to find them."""

    entries: list[Entry]
    read: int


def ended_before(
    journal: Journal,
    queue: QueueId,
    before: float,
    limit: int,
    alive: Container[EventId] = frozenset(),
) -> Ended:
    """About `limit` entries at most of events that ended before `before` (seconds since 1970).

    Reads from the oldest entry to the first that is not older. `alive` are events that have not
    ended, as far as is known: knowing them saves the memory for their entries.
    """
    lives: dict[EventId, list[Entry]] = {}
    chosen: list[Entry] = []
    read = 0
    snapshot = journal.snapshot(queue)
    if snapshot is None:
        return Ended([], 0)
    for entry in journal.entries(queue):
        read += 1
        if entry.seq > snapshot.seq or entry.record.at >= before or len(chosen) >= limit:
            break
        event = event_of(entry.record)
        if event is None:
            chosen.append(entry)
            continue
        if event in alive:
            continue
        lives.setdefault(event, []).append(_without_body(entry))
        if isinstance(entry.record, EventDelivered | EventDiscarded):
            chosen += lives.pop(event)
    return Ended(chosen, read)


def middle_attempts(journal: Journal, queue: QueueId, event: EventId, keep: int) -> list[Entry]:
    """The records of an event's attempts but for the last `keep`: so an outage of weeks fits."""
    snapshot = journal.snapshot(queue)
    if snapshot is None:
        return []
    attempts = [
        entry
        for entry in journal.history(event)
        if entry.queue == queue
        and entry.seq <= snapshot.seq
        and isinstance(entry.record, DeliveryStarted | DeliveryDeferred)
    ]
    return attempts[:-keep]


def _without_body(entry: Entry) -> Entry:
    record = entry.record
    if not isinstance(record, EventAccepted):
        return entry
    return Entry(entry.seq, entry.queue, msgspec.structs.replace(record, body=b""))
