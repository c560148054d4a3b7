"""Writes a new journal from what was read of another: every row as it was, every index anew."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb
import msgspec

from store import codec, environment
from store.errors import JournalUnavailableError
from store.inspection.journal_file import INCOMPLETE
from store.lmdb_reader import queue_key
from store.port import Snapshot
from store.records import Entry, EventAccepted, QueueId, RoutingKey

_BATCH = 5_000
_ROOM = 64 << 20


def rebuild(
    directory: Path,
    *,
    agent_id: str,
    last_seq: int,
    queues: Mapping[QueueId, RoutingKey],
    snapshots: Mapping[QueueId, Snapshot],
    entries: Iterable[Entry],
    room: int,
    incomplete: bool,
) -> None:
    """Make a journal in `directory`, which must not exist; on failure it is removed again.

    `room` (bytes) is the size of what is to be written, roughly; an empty `agent_id` gets a new
    one. `incomplete` notes that records are missing, so that the entries don't give what the
    snapshots say. Raises `JournalUnavailableError` when it can't be written.
    """
    try:
        directory.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise JournalUnavailableError(
            f"{directory} exists already: name a directory that does not"
        ) from None
    except OSError as error:
        raise environment.unusable(directory, error) from None
    try:
        env = environment.open_environment(directory, map_size=2 * room + _ROOM)
        try:
            dbs = {name: env.open_db(name.encode()) for name in environment.NAMES}
            _write_entries(env, dbs, entries)
            with env.begin(write=True) as txn:
                for queue, key in queues.items():
                    txn.put(key.encode(), queue_key(queue), db=dbs["queues"])
                    txn.put(*codec.routing_key_seal(queue, key), db=dbs["meta"])
                for queue, snapshot in snapshots.items():
                    value = codec.sealed(queue_key(queue), msgspec.msgpack.encode(snapshot))
                    txn.put(queue_key(queue), value, db=dbs["snapshots"])
                for name, text in (
                    (b"format", str(codec.FORMAT_VERSION)),
                    (b"agent_id", agent_id or str(uuid.uuid4())),
                    (b"last_seq", str(last_seq)),
                    *([(INCOMPLETE, str(last_seq))] if incomplete else []),
                ):
                    txn.put(name, text.encode(), db=dbs["meta"])
        finally:
            env.close()
        environment.mark_complete(directory)
    except (lmdb.Error, OSError) as error:
        shutil.rmtree(directory, ignore_errors=True)
        raise JournalUnavailableError(f"{directory} can't be written ({error})") from None
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


def _write_entries(env: lmdb.Environment, dbs: dict[str, Any], entries: Iterable[Entry]) -> None:
    remaining = iter(entries)
    while batch := list(islice(remaining, _BATCH)):
        with env.begin(write=True) as txn:
            for entry in batch:
                key = codec.key_of(entry.seq)
                value = codec.encode(entry.seq, entry.queue, entry.record)
                txn.put(key, value, db=dbs["journal"], append=True)
                txn.put(queue_key(entry.queue, entry.seq), b"", db=dbs["by_queue"])
                if isinstance(entry.record, EventAccepted):
                    txn.put(entry.record.event.encode(), key, db=dbs["events"])
