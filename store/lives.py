"""Picks the entries of one event's life out of those of its queue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from store.records import Entry, EventDelivered, EventDiscarded, EventId, event_of


def of_one_event(event: EventId, entries: Iterable[Entry]) -> Iterator[Entry]:
    """Entries about `event` or about a whole queue, up to the one that ends the event."""
    for entry in entries:
        about = event_of(entry.record)
        if about is None or about == event:
            yield entry
        if about == event and isinstance(entry.record, EventDelivered | EventDiscarded):
            return
