"""Writes a new journal from what was read of another: every row as it was, every index anew."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

import lmdb

from store import codec, environment, tables
from store.errors import JournalUnavailableError
from store.records import Entry, QueueId, RoutingKey
from store.tables import Rows, Tables

_BATCH = 5_000
_ROOM = 64 << 20  # bytes


def rebuild(
    directory: Path,
    *,
    agent_id: str,
    last_seq: int,
    queues: Mapping[QueueId, RoutingKey],
    snapshots: Mapping[QueueId, Iterable[bytes]],
    entries: Iterable[Entry],
    room: int,
    sandbox: bool = False,
) -> None:
    """Make a journal in `directory`, which must not exist; on failure it is removed again.

    The `entries` come in order, the pieces of `snapshots` include all of them.

    `room` (bytes) is the size of what is to be written, roughly; an empty `agent_id` gets a new
    one. Raises `JournalUnavailableError` when it can't be written.
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
            to = Tables.open(env, create=True)
            remaining, count = iter(entries), 0
            while batch := list(islice(remaining, _BATCH)):
                with env.begin(write=True) as txn:
                    rows = Rows()
                    rows.add_entries(batch)
                    rows.put(txn, to)
                count += len(batch)
            with env.begin(write=True) as txn:
                for queue, key in queues.items():
                    to.put_queue(txn.put, queue, key)
                for queue, pieces in snapshots.items():
                    to.put_snapshot(txn, queue, last_seq, pieces)
                to.put_figures(txn.put, last_seq, count)
                for name, text in (
                    (tables.FORMAT, str(codec.FORMAT_VERSION)),
                    (tables.AGENT_ID, agent_id or str(uuid.uuid4())),
                    (tables.LAST_REMOVED, str(last_seq)),
                ):
                    txn.put(name, text.encode(), db=to.meta)
                if sandbox:
                    txn.put(tables.SANDBOX, b"1", db=to.meta)
        finally:
            env.close()
        environment.mark_complete(directory)
    except (lmdb.Error, OSError) as error:
        shutil.rmtree(directory, ignore_errors=True)
        raise JournalUnavailableError(f"{directory} can't be written ({error})") from None
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
