"""Converts a journal of version 1 where it lies, in pieces, each in a transaction of its own.

The first transaction says that the format is the new one, so that no older program opens what is
half converted. After a crash, the next start goes on with what is left: the index by queue names
exactly the records that are still in their old form. It is dropped at the end.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb

from store import codec, tables, version_1
from store.codec import BadRecordError, queue_id, seq_in
from store.errors import JournalDamagedError
from store.records import Entry
from store.tables import Rows, Tables

logger = logging.getLogger(__name__)

_PIECE = 5_000
_PIECE_BYTES = 4 << 20


def convert(env: lmdb.Environment, directory: Path, piece: int = _PIECE) -> Iterator[int]:
    """Convert what is in the older format; yields how many records are left after each commit.

    A commit converts at most `piece` records. Raises `JournalDamagedError` if a record is damaged:
    then nothing was changed; and `lmdb.Error` if the disk is full: the next start goes on.
    """
    try:
        by_queue = env.open_db(version_1.BY_QUEUE, create=False)
    except lmdb.NotFoundError:
        return
    to = Tables.open(env, create=False)
    with env.begin() as txn:
        left = _refuse_damage(txn, to, by_queue, directory)
    logger.warning("the journal %s is being converted: %d records", directory, left)
    with env.begin(write=True) as txn:
        if txn.get(tables.FIGURES, db=to.meta) is None:
            cursor = txn.cursor(to.journal)
            newest = seq_in(cursor.key()) if cursor.last() else 0
            removed = int(txn.get(tables.LAST_REMOVED, db=to.meta, default=b"0"))
            to.put_figures(txn.put, max(newest, removed), left)
        txn.put(tables.FORMAT, str(codec.FORMAT_VERSION).encode(), db=to.meta)
    yield left
    while left:
        with env.begin(write=True) as txn:
            left -= _convert_piece(txn, to, by_queue, piece)
        yield left
    with env.begin(write=True) as txn:
        txn.drop(by_queue)
    logger.warning("the journal %s is converted", directory)


def _refuse_damage(txn: Any, to: Tables, by_queue: Any, directory: Path) -> int:
    """How many records are to be converted, if all are intact and the index names each of them."""
    count = 0
    for place in txn.cursor(by_queue).iternext(values=False):
        key = codec.key_of(seq_in(place))
        value = txn.get(key, db=to.journal)
        try:
            if value is None:
                raise BadRecordError("the index names it, but it is not there", seq_in(place))
            if version_1.decode(key, value).queue != queue_id(place):
                raise BadRecordError("its queue is not that of the index", seq_in(place))
        except BadRecordError as error:
            raise JournalDamagedError(str(error), directory=directory, seq=error.seq) from None
        count += 1
    keys = txn.cursor(to.journal).iternext(values=False)
    if sum(len(key) == codec.SEQ_BYTES for key in keys) != count:
        raise JournalDamagedError(
            "its index by queue does not fit its records", directory=directory
        )
    return count


def _convert_piece(txn: Any, to: Tables, by_queue: Any, most: int) -> int:
    """Convert some records; returns how many."""
    entries = list(_taken(txn, to, by_queue, most))
    rows = Rows()
    rows.add_entries(entries)
    rows.put(txn, to)
    return len(entries)


def _taken(txn: Any, to: Tables, by_queue: Any, most: int) -> Iterator[Entry]:
    """Records of the old format, which are removed; those of a queue come in their order."""
    cursor, count, size = txn.cursor(by_queue), 0, 0
    while count < most and size < _PIECE_BYTES and cursor.first():
        key = codec.key_of(seq_in(cursor.key()))
        value = txn.pop(key, db=to.journal)
        cursor.delete()
        count, size = count + 1, size + len(value)
        yield version_1.decode(key, value)
