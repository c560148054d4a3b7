"""The reading half of `store.lmdb_journal`."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import lmdb

from store import codec, tables
from store.codec import (
    QUEUE_BYTES,
    BadRecordError,
    accepted_in,
    bodies_in,
    body_in,
    key_of,
    queue_id,
    queue_key,
    record_in,
    records_in,
)
from store.errors import JournalDamagedError, JournalUnavailableError
from store.port import Snapshot
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
from store.tables import Tables

_LONGEST_KEY = 511  # LMDB's; what is longer, or empty, can't have been stored


class LmdbReader:
    """What a journal in LMDB does without writing; `LmdbJournal` opens it and writes."""

    agent_id: str
    directory: Path
    _env: lmdb.Environment

    def _open_tables(self) -> None:
        try:
            self._tables = Tables.open(self._env, create=False)
        except lmdb.Error as error:
            raise JournalDamagedError(f"LMDB says: {error}", directory=self.directory) from None
        with self._reading(self._tables.meta) as txn:
            self.agent_id = txn.get(tables.AGENT_ID, default=b"").decode()

    def queues(self) -> dict[QueueId, RoutingKey]:
        """As `store.port.Journal.queues`."""
        keys = {}
        with self._reading(self._tables.meta) as txn:
            for key, number in txn.cursor(self._tables.queues):
                queue = queue_id(number)
                try:
                    keys[queue] = tables.routing_key(queue, key, txn.get)
                except BadRecordError as error:
                    self._damaged(BadRecordError(f"the routing key of queue {queue}: {error}"))
        return keys

    def forgotten(self) -> dict[str, int]:
        """As `store.port.Journal.forgotten`."""
        with self._reading() as txn, self._intact("the figures of removed queues"):
            return self._forgotten_in(txn)

    def _forgotten_in(self, txn: Any) -> dict[str, int]:
        value = txn.get(tables.FORGOTTEN, db=self._tables.meta)
        return {} if value is None else codec.decode_figures(tables.FORGOTTEN, value)

    def snapshot(self, queue: QueueId) -> Snapshot | None:
        """As `store.port.Journal.snapshot`."""
        key = queue_key(queue)
        with self._reading(self._tables.snapshots) as txn:
            value = txn.get(key)
            if value is None:
                return None
            try:
                return tables.snapshot_of(queue, codec.decode_snapshot(key, value), txn.get)
            except BadRecordError as error:
                self._damaged(BadRecordError(f"the snapshot of queue {queue}: {error}"))

    def entries(self, queue: QueueId, after: int = 0) -> Iterator[Entry]:
        """As `store.port.Journal.entries`."""
        for seq, body in self._bodies(queue, after):
            yield self._entry(seq, queue, body)

    def history(self, event: EventId) -> Iterator[Entry]:
        """As `store.port.Journal.history`."""
        accepted = self.accepted(event)
        if accepted is not None:
            queue = accepted.queue
            bodies = self._bodies(queue, accepted.seq - 1)
            concerned = (each for each in bodies if codec.may_concern(each[1], event))
            yield from of_one_event(event, (self._entry(n, queue, b) for n, b in concerned))

    def backwards(self, before: int | None = None, queue: QueueId | None = None) -> Iterator[Entry]:
        """As `store.port.Journal.backwards`."""
        with self._reading() as txn:
            chosen = self._queues_with_entries(txn) if queue is None else [queue]
            rows = (self._rows_backwards(txn, each, before) for each in chosen)
            for _, key, value in heapq.merge(*rows):
                for entry in reversed(self._decode(key, value)):
                    if before is None or entry.seq < before:
                        yield entry

    def _queues_with_entries(self, txn: Any) -> Iterator[QueueId]:
        cursor = txn.cursor(self._tables.journal)
        found = cursor.first()
        while found:
            queue = queue_id(cursor.key())
            yield queue
            found = cursor.set_range(queue_key(QueueId(queue + 1)))

    def _rows_backwards(
        self, txn: Any, queue: QueueId, before: int | None
    ) -> Iterator[tuple[int, bytes, bytes]]:
        """A queue's rows, the newest first, each behind a number that grows with its age."""
        cursor, prefix = txn.cursor(self._tables.journal), queue_key(queue)
        end = prefix + (codec.AFTER_ALL if before is None else key_of(before))
        # To the first key at or behind the end, then one back; without such a key, to the last.
        found = cursor.prev() if cursor.set_range(end) else cursor.last()
        while found and (key := cursor.key()).startswith(prefix):
            yield -codec.seq_in(key), key, cursor.value()
            found = cursor.prev()

    def _bodies(self, queue: QueueId, after: int) -> Iterator[tuple[int, bytes | None]]:
        """Numbers and bodies (see `bodies_in`) of a queue's entries with `seq > after`."""
        prefix = queue_key(queue)
        with self._reading() as txn:
            cursor = txn.cursor(self._tables.journal)
            found = self._to_row_of(cursor, queue_key(queue, after + 1))
            while found and (key := cursor.key()).startswith(prefix):
                try:
                    for seq, body in bodies_in(key, cursor.value()):
                        if seq > after:
                            yield seq, body
                except BadRecordError as error:
                    self._damaged(error)
                found = cursor.next()

    @staticmethod
    def _to_row_of(cursor: Any, place: bytes) -> bool:
        """Set a cursor to the row that holds the record at a place, or else one beside it."""
        behind: bool = cursor.set_range(place)
        if behind and cursor.key() == place:
            return True
        before: bool = cursor.prev() if behind else cursor.last()
        if before and cursor.key().startswith(place[:QUEUE_BYTES]):
            return True
        return bool(cursor.next() if before else cursor.first())

    def scan(
        self, after: Mapping[QueueId, int] = MappingProxyType({})
    ) -> Iterator[tuple[QueueId, list[Numbered]]]:
        """As `store.port.Journal.scan`."""
        expected = found = count = 0
        with self._reading() as txn:
            for key, value in txn.cursor(self._tables.journal):
                queue = queue_id(key)
                known = after.get(queue, 0)
                try:
                    bodies = bodies_in(key, value)
                    count += len(bodies)
                    if bodies[-1][0] <= known:
                        for seq, body in bodies:
                            if event := accepted_in(seq, body):
                                expected += hash((event, queue_key(queue, seq)))
                        continue
                    records = records_in(bodies)
                except BadRecordError as error:
                    self._damaged(error)
                for seq, record in records:
                    if type(record) is EventAccepted:
                        expected += hash((record.event.encode(), queue_key(queue, seq)))
                yield queue, [each for each in records if each[0] > known] if known else records
            for row in txn.cursor(self._tables.events):
                found += hash(row)
            wanted = self._figures(txn).get(tables.RECORDS, 0)
        if count != wanted:
            what = f"{count} of its {wanted} records are there"
            raise JournalDamagedError(what, directory=self.directory)
        if found != expected:  # sums, as the index has an order of its own
            what = "its index of events does not fit its records"
            raise JournalDamagedError(what, directory=self.directory)

    def _figures(self, txn: Any) -> dict[str, int]:
        with self._intact("the number of its last record"):
            value = txn.get(tables.FIGURES, db=self._tables.meta)
            return {} if value is None else codec.decode_figures(tables.FIGURES, value)

    def accepted(self, event: EventId) -> AcceptedEntry | None:
        """As `store.port.Journal.accepted`."""
        event_key = event.encode()
        if not 0 < len(event_key) <= _LONGEST_KEY:
            return None
        with self._reading() as txn:
            place = txn.get(event_key, db=self._tables.events)
            if place is None:
                return None
            cursor = txn.cursor(self._tables.journal)
            self._to_row_of(cursor, place)
            key, value = cursor.item()
            if key[:QUEUE_BYTES] != place[:QUEUE_BYTES]:
                key, value = place, b""
        queue, wanted = queue_id(place), codec.seq_in(place)
        try:
            _, body = body_in(key, value, wanted)
        except BadRecordError as error:
            self._damaged(error)
        entry = self._entry(wanted, queue, body)
        if not isinstance(entry.record, EventAccepted):
            what = "the index of events says that it accepts one"
            self._damaged(BadRecordError(what, wanted))
        return AcceptedEntry(entry.seq, entry.queue, entry.record)

    def find_events(self, part: str, limit: int) -> list[EventId]:
        """As `store.port.Journal.find_events`."""
        wanted = part.encode()
        events: list[EventId] = []
        if len(wanted) > _LONGEST_KEY:
            return events
        with self._reading(self._tables.events) as txn:
            cursor = txn.cursor()
            if cursor.set_range(wanted):
                for key in cursor.iternext(values=False):
                    if len(events) == limit or not key.startswith(wanted):
                        break
                    events.append(EventId(key.decode()))
            if not events and len(wanted) < _LONGEST_KEY:
                containing = (key for key in txn.cursor().iternext(values=False) if wanted in key)
                events = [EventId(key.decode()) for key in islice(containing, limit)]
        return events

    @contextmanager
    def _reading(self, db: Any = None) -> Iterator[Any]:
        """A read transaction; what LMDB says about pages that make no sense is damage."""
        try:
            with self._env.begin(db=db) as txn:
                yield txn
        except (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.InvalidError) as error:
            raise JournalDamagedError(f"LMDB says: {error}", directory=self.directory) from None
        except lmdb.Error as error:
            raise JournalUnavailableError(
                f"the journal {self.directory} can't be read ({error}): check its disk"
            ) from None

    @contextmanager
    def _intact(self, what: str) -> Iterator[None]:
        """Raise `JournalDamagedError` for a bad row that is no record."""
        try:
            yield
        except BadRecordError as error:
            raise JournalDamagedError(f"{what}: {error}", directory=self.directory) from None

    def _entry(self, seq: int, queue: QueueId, body: bytes | None) -> Entry:
        try:
            return Entry(seq, queue, record_in(seq, body))
        except BadRecordError as error:
            self._damaged(error)

    def _decode(self, key: bytes, value: bytes) -> list[Entry]:
        try:
            return codec.entries_in(key, value)
        except BadRecordError as error:
            self._damaged(error)

    def _damaged(self, error: BadRecordError) -> NoReturn:
        raise JournalDamagedError(str(error), directory=self.directory, seq=error.seq) from None
