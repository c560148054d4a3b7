"""Selects the entries that may be removed; the writer removes them.

Only what lies behind the queue's saved snapshot may go. An event's entries go together, once it
was delivered or discarded long enough ago. What is old is judged by the journal's order, as clocks
get set: what stands before an old entry is old as well, whatever time it bears.
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


class Front(NamedTuple):
    """How far a queue was swept: where the next sweep begins, so that none reads it all again.

    What is left of the entries up to `after` belongs to events that have not ended; all up to
    `old` are older than was asked for.
    """

    after: int = 0
    old: int = 0


_BEGINNING = Front()
_READ_AHEAD = 20


class Swept(NamedTuple):
    """Entries that may go, without the bodies of events, and where to go on."""

    entries: list[Entry]
    front: Front


def sweep(
    journal: Journal,
    queue: QueueId,
    before: float,
    limit: int,
    *,
    now: float,
    alive: Container[EventId] = frozenset(),
    front: Front = _BEGINNING,
    old_elsewhere: int = 0,
) -> Swept:
    """About `limit` entries at most of events that ended before `before` (seconds since 1970).

    `alive` are events that have not ended, as far as is known. `front` is that of the last sweep.
    Entries up to `old_elsewhere` are known to be old if their time lies behind `now`.
    """
    snapshot = journal.snapshot(queue)
    if snapshot is None:
        return Swept([], front)
    old = _old_until(journal, queue, before, now, front.old, limit, old_elsewhere)
    lives: dict[EventId, list[Entry]] = {}
    chosen: list[Entry] = []
    after, passing = front.after, True
    for entry in journal.entries(queue, front.after):
        if entry.seq > min(old, snapshot.seq) or len(chosen) >= limit:
            break
        event = event_of(entry.record)
        if event in alive:
            after = entry.seq if passing else after
            continue
        passing = False  # behind `after`, as it is unknown yet whether it will be removed
        if event is None:
            chosen.append(entry)
            continue
        life = lives.setdefault(event, [])
        life.append(_without_body(entry))
        if isinstance(entry.record, EventDelivered | EventDiscarded):
            if front.after and not isinstance(life[0].record, EventAccepted):
                after = 0  # it was passed before it ended: the next sweep takes it as a whole
            else:
                chosen += lives.pop(event)
    return Swept(chosen, Front(after, old))


def _old_until(
    journal: Journal,
    queue: QueueId,
    before: float,
    now: float,
    after: int,
    limit: int,
    old_elsewhere: int,
) -> int:
    """The last entry behind `after` that is old, of those before the first that is recent.

    One whose time lies in the future is neither: it says nothing about those behind it.
    """
    old = after
    for read, entry in enumerate(journal.entries(queue, after)):
        at = entry.record.at
        if at < before or (at > now and entry.seq <= old_elsewhere):
            old = entry.seq
            if read >= _READ_AHEAD * limit:
                break  # there is enough to do
        elif at <= now:
            break
    return old


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
