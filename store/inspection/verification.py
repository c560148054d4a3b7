"""Checks a journal against itself: order, gaps, and the indexes against the records.

Pure: it is shown what was read and notes what doesn't fit. Whether the records make sense as the
lives of events is checked in `actors.verification`.
"""

from __future__ import annotations

from array import array
from itertools import groupby
from typing import NamedTuple

from store import tables
from store.inspection.journal_file import JournalFile
from store.records import Entry, EventAccepted, EventId, QueueId


class _Accepted(NamedTuple):
    seq: int
    queue: QueueId


class Consistency:
    """To be shown every intact entry in order, then asked to `finish`; damage goes to `file`."""

    def __init__(self, file: JournalFile) -> None:
        self._file = file
        self._newest_snapshot = max((each.seq for each in file.snapshots.values()), default=0)
        self._accepted: dict[EventId, _Accepted] = {}
        self._positions: dict[QueueId, int] = {}
        self._last = 0
        self.records = 0

    def note(self, entry: Entry) -> None:
        """Check one entry against those before it."""
        self._note_gap(entry.seq)
        self.records += 1
        self._last = entry.seq
        if entry.queue not in self._file.queues:
            self._file.note(f"its queue {entry.queue} is unknown", entry.seq)
        record = entry.record
        if isinstance(record, EventAccepted):
            earlier = self._accepted.get(record.event)
            if earlier is not None:
                self._file.note(
                    f"it accepts event {record.event} again, after record {earlier.seq}", entry.seq
                )
            self._accepted[record.event] = _Accepted(entry.seq, entry.queue)
            if record.position <= self._positions.get(entry.queue, 0):
                self._file.note("its position in the queue is not behind those before", entry.seq)
            self._positions[entry.queue] = record.position

    def finish(self) -> None:
        """Check the indexes, and the end of the journal."""
        self._last = max(self._last, self._file.last_removed)
        self._note_gap(self._file.newest + 1)
        noted = self._file.figures.get(tables.RECORDS, self.records)
        if noted != self.records and not self._file.damage:
            self._file.note(f"{self.records} of {noted} records are there")
        damaged = {damage.seq for damage in self._file.damage}
        self._check_by_queue(damaged)
        self._check_events(damaged)
        last = max(self._last, self._file.newest, *(seq for seq in damaged if seq), 0)
        for queue, snapshot in self._file.snapshots.items():
            if queue not in self._file.queues:
                self._file.note(f"the snapshot of queue {queue}: this queue is unknown")
            if snapshot.seq > last:
                self._file.note(
                    f"the snapshot of queue {queue} goes up to record {snapshot.seq}, "
                    f"the journal only to {last}"
                )

    def _note_gap(self, seq: int) -> None:
        """The retention leaves gaps, but never behind the newest snapshot.

        That may have been the snapshot of a queue that was forgotten since.
        """
        after = self._newest_snapshot if self._file.last_removed else 0
        if tables.FORGOTTEN in self._file.meta:
            after = max(after, self._file.last_removed)
        first = max(self._last, after) + 1
        if seq <= first:
            return
        damaged = {damage.seq for damage in self._file.damage}
        missing = [number for number in range(first, seq) if number not in damaged]
        if missing:
            self._file.note(_missing(missing), missing[0])

    def _check_by_queue(self, damaged: set[int | None]) -> None:
        indexed = set()
        for queue, rows in groupby(self._file.by_queue(), key=lambda row: row[0]):
            indexed.add(queue)
            found = array("Q", (seq for _, seq in rows))
            expected = self._file.unconverted.get(queue, array("Q"))
            if found == expected:
                continue
            for seq in sorted(set(found) - set(expected) - damaged):
                self._file.note(f"the index by queue {queue} names it, but it is not there", seq)
            for seq in sorted(set(expected) - set(found)):
                self._file.note(f"the index by queue {queue} does not name it", seq)
        for queue in self._file.unconverted.keys() - indexed:
            self._file.note(f"the index by queue knows nothing of queue {queue}")

    def _check_events(self, damaged: set[int | None]) -> None:
        unnamed = dict(self._accepted)
        for event, queue, seq in self._file.events():
            accepted = unnamed.pop(event, None)
            if accepted is None and seq not in damaged:
                self._file.note(f"the index of events says that it accepts {event}", seq)
            elif accepted is not None and accepted.seq != seq:
                self._file.note(f"the index of events says {seq} for its event", accepted.seq)
            elif accepted is not None and queue not in (None, accepted.queue):
                self._file.note(f"the index of events says queue {queue}", accepted.seq)
        for accepted in unnamed.values():
            self._file.note("the index of events does not name it", accepted.seq)


def _missing(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return "it is missing"
    return f"it and the following {len(numbers) - 1} are missing, up to {numbers[-1]}"
