"""Reads a journal in LMDB: all that needs no write transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import lmdb
import msgspec

from store import codec, environment
from store.errors import (
    JournalDamagedError,
    JournalError,
    JournalNewerError,
    JournalUnavailableError,
)
from store.indexes import IndexSums
from store.inspection.data_file import refuse_damage
from store.lives import of_one_event
from store.port import Snapshot
from store.records import Entry, EventId, QueueId, RoutingKey

_PREFIX = 4
_LONGEST_KEY = 511  # LMDB's; what is longer, or empty, can't have been stored


def queue_key(queue: QueueId, seq: int | None = None) -> bytes:
    """Key of `queues` and `snapshots` (4 bytes) or of `by_queue` (12 bytes)."""
    prefix = queue.to_bytes(_PREFIX, "big")
    return prefix if seq is None else prefix + codec.key_of(seq)


def check_format(env: lmdb.Environment, meta: Any, directory: Path) -> None:
    """Raise `JournalNewerError` if a newer program wrote the journal; a new one has no format."""
    with env.begin(db=meta) as txn:
        version = txn.get(b"format", default=b"0").decode("ascii", "replace")
    if not version.isdigit() or int(version) > codec.FORMAT_VERSION:
        raise JournalNewerError(directory, version, codec.FORMAT_VERSION)


_FORGOTTEN = b"forgotten"


def forgotten_row(sums: dict[str, int]) -> tuple[bytes, bytes]:
    """The row of `meta` with the figures of all queues that were removed."""
    return _FORGOTTEN, codec.sealed(_FORGOTTEN, msgspec.msgpack.encode(dict(sums)))


def read_forgotten(txn: Any, meta: Any) -> dict[str, int]:
    """What `forgotten_row` stored. Raises `codec.BadRecordError`."""
    value = txn.get(_FORGOTTEN, db=meta)
    if value is None:
        return {}
    return msgspec.msgpack.decode(codec.check(_FORGOTTEN, value), type=dict[str, int])


class LmdbReader:
    """Read access to a journal directory, without a lock and without changing a byte.

    Raises `JournalUnavailableError`, `JournalDamagedError` or `JournalNewerError` on opening.
    """

    agent_id: str

    def __init__(self, directory: Path) -> None:
        if not (directory / environment.DATA_FILE).exists():
            raise JournalUnavailableError(
                f"there is no journal in {directory}: name its directory with 'database'"
            )
        environment.check_data_file(directory)
        refuse_damage(directory)
        size = (directory / environment.DATA_FILE).stat().st_size
        self.directory = directory
        self._open(environment.open_environment(directory, map_size=size, readonly=True))

    def _open(self, env: lmdb.Environment) -> None:
        """Take over `env`; it is closed if it turns out not to be readable."""
        self._env = env
        try:
            dbs = {name: env.open_db(name.encode(), create=False) for name in environment.NAMES}
            self._meta = dbs["meta"]
            check_format(env, self._meta, self.directory)
            with self._reading(self._meta) as txn:
                self.agent_id = txn.get(b"agent_id", default=b"").decode()
        except lmdb.Error as error:
            env.close()
            raise JournalDamagedError(f"LMDB says: {error}", directory=self.directory) from None
        except JournalError:
            env.close()
            raise
        self._journal = dbs["journal"]
        self._queues = dbs["queues"]
        self._by_queue = dbs["by_queue"]
        self._events = dbs["events"]
        self._snapshots = dbs["snapshots"]
        self._dbs = tuple(dbs.values())

    def queues(self) -> dict[QueueId, RoutingKey]:
        """As `store.port.Journal.queues`."""
        keys = {}
        with self._reading(self._meta) as txn:
            for key, number in txn.cursor(self._queues):
                queue = QueueId(int.from_bytes(number, "big"))
                try:
                    keys[queue] = codec.routing_key(queue, key, txn.get)
                except codec.BadRecordError as error:
                    raise JournalDamagedError(
                        f"the routing key of queue {queue}: {error}", directory=self.directory
                    ) from None
        return keys

    def forgotten(self) -> dict[str, int]:
        """As `store.port.Journal.forgotten`."""
        with self._reading() as txn:
            try:
                return read_forgotten(txn, self._meta)
            except (codec.BadRecordError, msgspec.MsgspecError) as error:
                raise JournalDamagedError(
                    f"the figures of removed queues: {error}", directory=self.directory
                ) from None

    def snapshot(self, queue: QueueId) -> Snapshot | None:
        """As `store.port.Journal.snapshot`."""
        with self._reading(self._snapshots) as txn:
            value = txn.get(queue_key(queue))
        if value is None:
            return None
        try:
            return msgspec.msgpack.decode(
                codec.check(queue_key(queue), value), type=Snapshot, strict=True
            )
        except (codec.BadRecordError, msgspec.MsgspecError) as error:
            raise JournalDamagedError(
                f"the snapshot of queue {queue}: {error}", directory=self.directory
            ) from None

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
                cursor, prefix = txn.cursor(self._journal), b""
            else:
                cursor, prefix = txn.cursor(self._by_queue), queue_key(queue)
            end = codec.AFTER_ALL if before is None else codec.key_of(before)
            # To the first key at or behind the end, then one back; without such a key, to the last.
            found = cursor.prev() if cursor.set_range(prefix + end) else cursor.last()
            while found and (key := cursor.key()).startswith(prefix):
                seq_key = key[len(prefix) :]
                value = cursor.value() if queue is None else txn.get(seq_key, db=self._journal)
                if value is None:
                    self._damaged(seq_key, "the index names it, but it is not there")
                yield self._decode(seq_key, value)
                found = cursor.prev()

    def _values(self, queue: QueueId, after: int) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values of a queue's entries with `seq > after`, oldest first."""
        prefix = queue_key(queue)
        with self._reading() as txn:
            cursor = txn.cursor(self._by_queue)
            found = cursor.set_range(queue_key(queue, after + 1))
            while found and (key := cursor.key()).startswith(prefix):
                seq_key = key[_PREFIX:]
                value = txn.get(seq_key, db=self._journal)
                if value is None:
                    self._damaged(seq_key, "the index names it, but it is not there")
                yield seq_key, value
                found = cursor.next()

    def scan(self, after: int = 0) -> Iterator[Entry]:
        """As `store.port.Journal.scan`."""
        with self._reading() as txn:
            cursor = txn.cursor(self._journal)
            if cursor.set_range(codec.key_of(after + 1)):
                for key, value in cursor:
                    yield self._decode(key, value)

    def check_indexes(self, records: IndexSums) -> None:
        """As `store.port.Journal.check_indexes`."""
        sums = IndexSums()
        with self._reading() as txn:
            for key in txn.cursor(self._by_queue).iternext(values=False):
                queue, seq = key[:_PREFIX], key[_PREFIX:]
                sums.note_queue(QueueId(int.from_bytes(queue, "big")), int.from_bytes(seq, "big"))
            for event, seq in txn.cursor(self._events):
                sums.note_event(EventId(event.decode(errors="replace")), int.from_bytes(seq, "big"))
        difference = records.difference(sums)
        if difference is not None:
            raise JournalDamagedError(difference, directory=self.directory)

    def accepted(self, event: EventId) -> Entry | None:
        """As `store.port.Journal.accepted`."""
        event_key = event.encode()
        if not 0 < len(event_key) <= _LONGEST_KEY:
            return None
        with self._reading() as txn:
            key = txn.get(event_key, db=self._events)
            if key is None:
                return None
            value = txn.get(key, db=self._journal)
        if value is None:
            self._damaged(key, "the index names it, but it is not there")
        return self._decode(key, value)

    def find_events(self, prefix: str, limit: int) -> list[EventId]:
        """As `store.port.Journal.find_events`."""
        wanted = prefix.encode()
        events: list[EventId] = []
        if len(wanted) > _LONGEST_KEY:
            return events
        with self._reading(self._events) as txn:
            cursor = txn.cursor()
            if cursor.set_range(wanted):
                for key in cursor.iternext(values=False):
                    if len(events) == limit or not key.startswith(wanted):
                        break
                    events.append(EventId(key.decode()))
        return events

    def close(self) -> None:
        """As `store.port.Journal.close`."""
        self._env.close()

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

    def _decode(self, key: bytes, value: bytes) -> Entry:
        try:
            return codec.decode(key, value)
        except codec.BadRecordError as error:
            self._damaged(key, str(error))

    def _damaged(self, key: bytes, what: str) -> NoReturn:
        raise JournalDamagedError(
            what, directory=self.directory, seq=int.from_bytes(key, "big")
        ) from None
