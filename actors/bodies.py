"""Events that wait for their delivery, kept in memory: reading one costs a tenth of a delivery."""

from __future__ import annotations

from collections.abc import Iterable

from store.records import (
    EventAccepted,
    EventDeadLettered,
    EventDelivered,
    EventDiscarded,
    EventId,
    Record,
)

ROOM = 8 << 20
"""Bytes that all kept events may take together."""

_OBJECT = 600
"""Bytes, roughly, that an event takes beside its body."""

_ENDS = (EventDelivered, EventDeadLettered, EventDiscarded)


class Bodies:
    """The records of waiting events that were accepted while there was `ROOM` for them.

    What is not here is in the journal: so events from before the start, most events of a long
    backlog, and dead letters that are retried are read there.
    """

    def __init__(self) -> None:
        self._free = ROOM
        self._kept: dict[EventId, EventAccepted] = {}

    def note(self, records: Iterable[Record]) -> None:
        """Keep events that were accepted, let go of those that have ended. For the writer alone."""
        for record in records:
            if type(record) is EventAccepted:
                size = _size_of(record)
                if size <= self._free and record.event not in self._kept:
                    self._kept[record.event] = record
                    self._free -= size
            elif isinstance(record, _ENDS):
                ended = self._kept.pop(record.event, None)
                if ended is not None:
                    self._free += _size_of(ended)

    def get(self, event: EventId) -> EventAccepted | None:
        """The record of an event if it is here. Any thread."""
        return self._kept.get(event)


def _size_of(record: EventAccepted) -> int:
    return len(record.body) + _OBJECT
