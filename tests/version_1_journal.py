"""A journal as version 1 of the format has it, with the content of one of today."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lmdb
import msgspec

from store import codec, tables, version_1
from store.records import Entry, EventAccepted
from store.tables import Tables


def make_version_1(directory: Path) -> None:
    """Rewrite a journal that no process has open, as commit 507c2fb would have written it."""
    env = lmdb.open(str(directory), max_dbs=6, map_size=1 << 28)
    dbs = Tables.open(env, create=False)
    by_queue = env.open_db(version_1.BY_QUEUE)
    with env.begin(write=True) as txn:
        rows = [(bytes(key), bytes(value)) for key, value in txn.cursor(dbs.journal)]
        for key, _ in rows:
            txn.delete(key, db=dbs.journal)
        for entry in (entry for row in rows for entry in codec.entries_in(*row)):
            key = codec.key_of(entry.seq)
            txn.put(key, encode(entry), db=dbs.journal)
            txn.put(codec.queue_key(entry.queue, entry.seq), b"", db=by_queue)
            if isinstance(entry.record, EventAccepted):
                txn.put(entry.record.event.encode(), key, db=dbs.events)
        txn.put(tables.FORMAT, b"1", db=dbs.meta)
        txn.delete(tables.FIGURES, db=dbs.meta)
    env.close()


def encode(entry: Entry) -> bytes:
    """The value of a record in version 1."""
    kind = type(entry.record)
    named: dict[str, Any] = {"type": kind.__name__, **msgspec.structs.asdict(entry.record)}
    if kind is EventAccepted:  # of which what has its default was left out
        for field in msgspec.structs.fields(kind):
            if not field.required and named[field.name] == field.default:
                del named[field.name]
    return codec.sealed(codec.key_of(entry.seq), msgspec.msgpack.encode((entry.queue, named)))
