"""Whether the indexes name exactly the records that are there."""

from __future__ import annotations

from store.records import Entry, EventAccepted, EventId, QueueId


class IndexSums:
    """What the rows of an index add up to, in whatever order they are noted.

    The sum over the records and that over the indexes are the same, or a row was lost or changed.
    """

    def __init__(self) -> None:
        self.by_queue = 0
        self.events = 0

    def note(self, entry: Entry) -> None:
        """Add the rows that an entry ought to have."""
        self.note_queue(entry.queue, entry.seq)
        if isinstance(entry.record, EventAccepted):
            self.note_event(entry.record.event, entry.seq)

    def note_queue(self, queue: QueueId, seq: int) -> None:
        """Add a row of `by_queue`."""
        self.by_queue += hash((queue, seq))

    def note_event(self, event: EventId, seq: int) -> None:
        """Add a row of `events`."""
        self.events += hash((event, seq))

    def difference(self, indexes: IndexSums) -> str | None:
        """What is wrong with the indexes, if these are the sums of all records."""
        wrong = [
            name
            for name, same in (
                ("by queue", self.by_queue == indexes.by_queue),
                ("of events", self.events == indexes.events),
            )
            if not same
        ]
        return f"its index {' and that '.join(wrong)} does not fit its records" if wrong else None
