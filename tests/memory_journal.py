"""A journal in memory with the contract of the real one: for simulation and tests."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from store import codec
from store.errors import JournalFullError
from store.port import Append, Snapshot, Usage
from store.records import (
    AcceptedEntry,
    Entry,
    EventAccepted,
    EventId,
    Numbered,
    QueueId,
    RoutingKey,
    of_one_event,
)


class MemoryJournal:
    """Keeps encoded records, so that what is read has been through the codec as on disk."""

    def __init__(self, *, limit: int = 1 << 30, agent_id: str = "memory") -> None:
        self.agent_id = agent_id
        self.limit = limit
        self._rows: dict[int, tuple[bytes, bytes]] = {}
        self._by_queue: dict[QueueId, list[int]] = {}
        self._queues: dict[QueueId, RoutingKey] = {}
        self._events: dict[EventId, int] = {}
        self._snapshots: dict[QueueId, Snapshot] = {}
        self._forgotten: Counter[str] = Counter()
        self._last = 0
        self._used = 0

    def commit(self, batch: Sequence[Append]) -> int:
        """As `store.port.Journal.commit`; it can't fail."""
        for append in batch:
            if append.routing_key is not None:
                self._queues[append.queue] = append.routing_key
            for record in append.records:
                self._last += 1
                [row] = codec.rows_of(append.queue, [(self._last, record)])
                self._rows[self._last] = row
                self._used += len(row[1])
                self._by_queue.setdefault(append.queue, []).append(self._last)
                if isinstance(record, EventAccepted):
                    self._events[record.event] = self._last
            if append.snapshot is not None:
                self._snapshots[append.queue] = Snapshot(
                    self._last, tuple(append.snapshot) or (b"",)
                )
            if append.forget is not None and not self._by_queue.get(append.queue):
                for table in (self._queues, self._snapshots, self._by_queue):
                    table.pop(append.queue, None)
                self._forgotten.update(append.forget)
        return self._last

    def remove(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            row = self._rows.pop(entry.seq, None)
            if row is None:
                continue
            self._used -= len(row[1])
            self._by_queue[entry.queue].remove(entry.seq)
            if isinstance(entry.record, EventAccepted):
                self._events.pop(entry.record.event, None)

    def admit(self) -> None:
        if self._used >= self.limit:
            raise JournalFullError(f"the journal has reached its {self.limit} bytes")

    def usage(self) -> Usage:
        return Usage(used=self._used, limit=self.limit, entries=len(self._rows))

    def queues(self) -> dict[QueueId, RoutingKey]:
        return dict(self._queues)

    def forgotten(self) -> dict[str, int]:
        return dict(self._forgotten)

    def snapshot(self, queue: QueueId) -> Snapshot | None:
        return self._snapshots.get(queue)

    def entries(self, queue: QueueId, after: int = 0) -> Iterator[Entry]:
        seqs = self._by_queue.get(queue, [])
        for seq in seqs[bisect_right(seqs, after) :]:
            yield self._entry(seq)

    def scan(
        self, after: Mapping[QueueId, int] = MappingProxyType({})
    ) -> Iterator[tuple[QueueId, list[Numbered]]]:
        for queue in sorted(self._by_queue):
            for entry in self.entries(queue, after.get(queue, 0)):
                yield queue, [(entry.seq, entry.record)]

    def accepted(self, event: EventId) -> AcceptedEntry | None:
        seq = self._events.get(event)
        if seq is None:
            return None
        entry = self._entry(seq)
        assert isinstance(entry.record, EventAccepted)
        return AcceptedEntry(entry.seq, entry.queue, entry.record)

    def history(self, event: EventId) -> Iterator[Entry]:
        accepted = self.accepted(event)
        if accepted is not None:
            yield from of_one_event(event, self.entries(accepted.queue, accepted.seq - 1))

    def backwards(self, before: int | None = None, queue: QueueId | None = None) -> Iterator[Entry]:
        seqs = list(self._rows) if queue is None else self._by_queue.get(queue, [])
        for seq in reversed([s for s in seqs if before is None or s < before]):
            yield self._entry(seq)

    def find_events(self, part: str, limit: int) -> list[EventId]:
        found = [event for event in self._events if event.startswith(part)]
        return sorted(found or [event for event in self._events if part in event])[:limit]

    def recover(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def _entry(self, seq: int) -> Entry:
        [entry] = codec.entries_in(*self._rows[seq])
        return entry
