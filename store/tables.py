"""Where a journal's rows are in LMDB: its tables, their keys, and the rows of `meta`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any, NamedTuple, Self
from zlib import crc32

import lmdb

from store import codec
from store.codec import BadRecordError, StoredSnapshot, key_of, queue_key
from store.port import Snapshot
from store.records import Entry, EventAccepted, QueueId, Record, RoutingKey

# Rows of `meta`.
FORMAT = b"format"
AGENT_ID = b"agent_id"
SANDBOX = b"sandbox"
"""There if the journal's events are trials, which must not reach PagerDuty."""
LOG = b"log"
"""There if the journal is a relay's copy of a log: how far it has applied it."""
FORGOTTEN = b"forgotten"
LAST_REMOVED = b"last_seq"
"""The last sequence number when records were last removed."""
FIGURES = b"figures"
"""`NEWEST`, the last sequence number ever given, and `RECORDS`, how many records there are."""
NEWEST, RECORDS = "newest", "records"

Put = Callable[..., object]


class Tables(NamedTuple):
    """LMDB's handles of the tables, or with `str` in their place, their names.

    `journal` holds the records of each queue in order (see `codec`), `queues` maps routing keys to
    queue ids, `events` ids of events to the places (`codec.queue_key`) of their `EventAccepted`.
    `snapshots` has for each queue a row with its id as key, and further pieces behind it.
    """

    journal: Any
    queues: Any
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
        put(*routing_key_seal(queue, key), db=self.meta)

    def put_figures(self, put: Put, newest: int, records: int) -> None:
        """Write the row `FIGURES`."""
        figures = {NEWEST: newest, RECORDS: records}
        put(FIGURES, codec.encode_other(FIGURES, figures), db=self.meta)

    def put_snapshot(self, txn: Any, queue: QueueId, seq: int, pieces: Iterable[bytes]) -> int:
        """Write the snapshot of a queue in place of the one before; returns its size in bytes.

        Each piece is asked for when it is written, so that other threads get their turn.
        """
        key, remaining = queue_key(queue), iter(pieces)
        first, more, written = next(remaining, b""), 0, 0
        for more, piece in enumerate(remaining, 1):
            value = codec.sealed(piece_key(queue, more), piece)
            txn.put(piece_key(queue, more), value, db=self.snapshots)
            written += len(value)
        self.delete_pieces(txn, queue, more + 1)
        value = codec.encode_other(key, StoredSnapshot(seq, first, more))
        txn.put(key, value, db=self.snapshots)
        return written + len(value)

    def delete_pieces(self, txn: Any, queue: QueueId, begin: int) -> None:
        """Delete the pieces of a queue's snapshot from this number on."""
        cursor, prefix = txn.cursor(self.snapshots), queue_key(queue)
        found = cursor.set_range(piece_key(queue, begin))
        while found and cursor.key().startswith(prefix):
            found = cursor.delete()


def piece_key(queue: QueueId, number: int) -> bytes:
    """Key of a piece of a snapshot but for the first."""
    return queue_key(queue) + number.to_bytes(4, "big")


class Rows:
    """Rows to be written together: py-lmdb lets go of the interpreter lock for each put."""

    def __init__(self) -> None:
        self.journal: list[tuple[bytes, bytes]] = []
        self.events: list[tuple[bytes, bytes]] = []

    def add(self, queue: QueueId, first: int, records: Sequence[Record]) -> None:
        """Add what one queue appends, with numbers from `first` on."""
        prefix = queue_key(queue)
        if len(records) == 1:
            key = prefix + key_of(first)
            self.journal.append((key, codec.row_of(key, records[0])))
        else:
            self.journal += codec.rows_of(queue, enumerate(records, first))
        for seq, record in enumerate(records, first):
            if type(record) is EventAccepted:
                self.events.append((record.event.encode(), prefix + key_of(seq)))

    def add_entries(self, entries: Iterable[Entry]) -> None:
        """Add entries, those of each queue in order.

        Rows of different queues never overlap, so only numbers that follow each other share one.
        """
        for (queue, _), numbered in groupby(enumerate(entries), key=_run):
            run = [entry for _, entry in numbered]
            self.add(queue, run[0].seq, [entry.record for entry in run])

    def put(self, txn: Any, to: Tables) -> int:
        """Write all; returns the size of the records in bytes."""
        txn.cursor(to.journal).putmulti(self.journal)
        txn.cursor(to.events).putmulti(self.events)
        return sum(len(value) for _, value in self.journal)


def _run(numbered: tuple[int, Entry]) -> tuple[QueueId, int]:
    """The same for entries of one queue whose numbers follow each other."""
    number, entry = numbered
    return entry.queue, entry.seq - number


def snapshot_of(
    queue: QueueId, stored: StoredSnapshot, piece: Callable[[bytes], bytes | None]
) -> Snapshot:
    """A snapshot from its first row; raises `codec.BadRecordError`.

    `piece` looks up a row of `snapshots`.
    """
    pieces = [stored.state]
    for number in range(1, stored.more + 1):
        key = piece_key(queue, number)
        value = piece(key)
        if value is None:
            raise codec.BadRecordError(f"its piece {number} is missing")
        pieces.append(codec.check(key, value))
    return Snapshot(stored.seq, tuple(pieces))


def is_newer(version: str) -> bool:
    """Whether the row `FORMAT` says that only a newer program can read the journal."""
    return version.isdigit() and int(version) > codec.FORMAT_VERSION


def routing_key_seal(queue: QueueId, key: RoutingKey) -> tuple[bytes, bytes]:
    """Name and value of the row in `meta` that vouches for a row of `queues`.

    A routing key whose bytes have changed would send a queue's events to another service.
    """
    name = b"queue_%d_crc32" % queue
    return name, b"%d" % crc32(key.encode(), crc32(name))


def routing_key(queue: QueueId, stored: bytes, meta: Callable[[bytes], bytes | None]) -> RoutingKey:
    """The key of a row of `queues`; raises `BadRecordError` if it isn't intact.

    `meta` looks up a row of that table. A journal from before there were seals has none.
    """
    try:
        key = RoutingKey(stored.decode())
    except UnicodeDecodeError:
        raise BadRecordError("it is no text") from None
    name, seal = routing_key_seal(queue, key)
    if meta(name) not in (None, seal):
        raise BadRecordError("its checksum does not match")
    return key
