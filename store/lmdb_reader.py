"""The reading half of `store.lmdb_journal`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import lmdb

from store import codec, tables
from store.errors import JournalDamagedError, JournalUnavailableError
from store.port import IndexSums, Snapshot
from store.records import (
    AcceptedEntry,
    Entry,
    EventAccepted,
    EventId,
    QueueId,
    RoutingKey,
    of_one_event,
)
from store.tables import QUEUE_BYTES, Tables, queue_id, queue_key

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
                with self._intact(f"the routing key of queue {queue}"):
                    keys[queue] = codec.routing_key(queue, key, txn.get)
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
        with self._reading(self._tables.snapshots) as txn:
            value = txn.get(queue_key(queue))
        with self._intact(f"the snapshot of queue {queue}"):
            return None if value is None else codec.decode_snapshot(queue_key(queue), value)

    def entries(self, queue: QueueId, after: int = 0) -> Iterator[Entry]:
        """As `store.port.Journal.entries`."""
        for seq_key, value in self._values(queue, after):
            yield self._decode(seq_key, value)

    def history(self, event: EventId) -> Iterator[Entry]:
        """As `store.port.Journal.history`."""
        accepted = self.accepted(event)
        if accepted is not None:
            values = self._values(accepted.queue, accepted.seq - 1)
            concerned = (row for row in values if codec.may_concern(row[1], event))
            yield from of_one_event(event, (self._decode(*row) for row in concerned))

    def backwards(self, before: int | None = None, queue: QueueId | None = None) -> Iterator[Entry]:
        """As `store.port.Journal.backwards`."""
        with self._reading() as txn:
            if queue is None:
                cursor, prefix = txn.cursor(self._tables.journal), b""
            else:
                cursor, prefix = txn.cursor(self._tables.by_queue), queue_key(queue)
            end = codec.AFTER_ALL if before is None else codec.key_of(before)
            # To the first key at or behind the end, then one back; without such a key, to the last.
            found = cursor.prev() if cursor.set_range(prefix + end) else cursor.last()
            while found and (key := cursor.key()).startswith(prefix):
                seq_key = key[len(prefix) :]
                value = cursor.value() if queue is None else self._indexed(txn, seq_key)
                yield self._decode(seq_key, value)
                found = cursor.prev()

    def _values(self, queue: QueueId, after: int) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values of a queue's entries with `seq > after`, oldest first."""
        prefix = queue_key(queue)
        with self._reading() as txn:
            cursor = txn.cursor(self._tables.by_queue)
            found = cursor.set_range(queue_key(queue, after + 1))
            while found and (key := cursor.key()).startswith(prefix):
                seq_key = key[QUEUE_BYTES:]
                yield seq_key, self._indexed(txn, seq_key)
                found = cursor.next()

    def _indexed(self, txn: Any, seq_key: bytes) -> bytes:
        """The value of a record that an index names."""
        value: bytes | None = txn.get(seq_key, db=self._tables.journal)
        if value is None:
            self._damaged(seq_key, "the index names it, but it is not there")
        return value

    def scan(self) -> Iterator[Entry]:
        """As `store.port.Journal.scan`."""
        with self._reading() as txn:
            for key, value in txn.cursor(self._tables.journal):
                yield self._decode(key, value)

    def check_indexes(self, records: IndexSums) -> None:
        """As `store.port.Journal.check_indexes`."""
        sums = IndexSums()
        with self._reading() as txn:
            for key in txn.cursor(self._tables.by_queue).iternext(values=False):
                sums.note_queue(queue_id(key), int.from_bytes(key[QUEUE_BYTES:], "big"))
            for event, seq in txn.cursor(self._tables.events):
                sums.note_event(EventId(event.decode(errors="replace")), int.from_bytes(seq, "big"))
        difference = records.difference(sums)
        if difference is not None:
            raise JournalDamagedError(difference, directory=self.directory)

    def accepted(self, event: EventId) -> AcceptedEntry | None:
        """As `store.port.Journal.accepted`."""
        event_key = event.encode()
        if not 0 < len(event_key) <= _LONGEST_KEY:
            return None
        with self._reading() as txn:
            key = txn.get(event_key, db=self._tables.events)
            if key is None:
                return None
            entry = self._decode(key, self._indexed(txn, key))
        if not isinstance(entry.record, EventAccepted):
            self._damaged(key, "the index of events says that it accepts one")
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
        except codec.BadRecordError as error:
            raise JournalDamagedError(f"{what}: {error}", directory=self.directory) from None

    def _decode(self, key: bytes, value: bytes) -> Entry:
        try:
            return codec.decode(key, value)
        except codec.BadRecordError as error:
            self._damaged(key, str(error))

    def _damaged(self, key: bytes, what: str) -> NoReturn:
        raise JournalDamagedError(
            what, directory=self.directory, seq=int.from_bytes(key, "big")
        ) from None
