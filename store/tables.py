"""Where a journal's rows are in LMDB: its tables, their keys, and the rows of `meta`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Self

import lmdb

from store import codec
from store.port import Snapshot
from store.records import EventAccepted, QueueId, Record, RoutingKey

# Rows of `meta`.
FORMAT = b"format"
AGENT_ID = b"agent_id"
SANDBOX = b"sandbox"
"""There if the journal's events are trials, which must not reach PagerDuty."""
FORGOTTEN = b"forgotten"
LAST_REMOVED = b"last_seq"
"""The last sequence number when records were last removed: it is never used again."""

QUEUE_BYTES = 4

Put = Callable[..., object]


class Tables(NamedTuple):
    """LMDB's handles of the tables, or with `str` in their place, their names.

    `journal` maps sequence numbers to records; `queues` routing keys to queue ids; `by_queue` has a
    key for each record, `events` the sequence number of each `EventAccepted`; `snapshots` has one
    row per queue.
    """

    journal: Any
    queues: Any
    by_queue: Any
    events: Any
    snapshots: Any
    meta: Any

    @classmethod
    def open(cls, env: lmdb.Environment, *, create: bool) -> Self:
        """Open all tables. Raises `lmdb.Error`."""
        return cls(*(env.open_db(name.encode(), create=create) for name in cls._fields))

    def put_queue(self, put: Put, queue: QueueId, key: RoutingKey) -> None:
        """Write the routing key of a queue."""
        put(key.encode(), queue_key(queue), db=self.queues)
        put(*codec.routing_key_seal(queue, key), db=self.meta)

    def put_record(self, put: Put, seq: int, queue: QueueId, record: Record) -> int:
        """Write a record behind all others, with its index rows; returns its size in bytes."""
        seq_key, value = codec.key_of(seq), codec.encode(seq, queue, record)
        put(seq_key, value, db=self.journal, append=True)
        put(queue.to_bytes(QUEUE_BYTES, "big") + seq_key, b"", db=self.by_queue)
        if isinstance(record, EventAccepted):
            put(record.event.encode(), seq_key, db=self.events)
        return len(value)

    def put_snapshot(self, put: Put, queue: QueueId, snapshot: Snapshot) -> int:
        """Write the snapshot of a queue; returns its size in bytes."""
        value = codec.encode_other(queue_key(queue), snapshot)
        put(queue_key(queue), value, db=self.snapshots)
        return len(value)


def queue_key(queue: QueueId, seq: int | None = None) -> bytes:
    """Key of `snapshots` and value of `queues` (4 bytes), or key of `by_queue` (12 bytes)."""
    prefix = queue.to_bytes(QUEUE_BYTES, "big")
    return prefix if seq is None else prefix + codec.key_of(seq)


def queue_id(key: bytes) -> QueueId:
    """The inverse of `queue_key` for the first 4 bytes."""
    return QueueId(int.from_bytes(key[:QUEUE_BYTES], "big"))


def is_newer(version: str) -> bool:
    """Whether the row `FORMAT` says that only a newer program can read the journal."""
    return version.isdigit() and int(version) > codec.FORMAT_VERSION
