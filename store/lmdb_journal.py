"""The journal in LMDB: six named databases, all written in one durable transaction per commit."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import lmdb

from store import codec, environment, tables
from store.errors import (
    CommitFailedError,
    JournalDisplacedError,
    JournalError,
    JournalFullError,
    JournalNewerError,
    SandboxJournalError,
)
from store.headroom import Headroom
from store.inspection.data_file import refuse_damage
from store.lmdb_reader import LmdbReader
from store.lock import JournalLock
from store.port import Append, Snapshot, Usage
from store.records import Entry, EventAccepted
from store.tables import Tables, queue_key

_MIB = 1 << 20
_RESERVE = 16 * _MIB
_MEASURE_EVERY = _MIB


class LmdbJournal(LmdbReader):
    """Opens (and creates) the journal in `directory` for this process alone.

    `limit` (bytes): beyond it `admit` refuses; the map is half as large again, so that whatever
    was accepted can still be delivered and recorded. One thread writes; any thread reads.
    A journal of the `sandbox` is marked when it is created, and opened only as such.
    """

    def __init__(self, directory: Path, *, limit: int, sandbox: bool = False) -> None:
        environment.prepare_directory(directory)
        self.directory = directory
        self._sandbox = sandbox
        self._limit = limit
        self._map_size = limit + limit // 2 + 4 * _RESERVE
        self._data_file = directory / environment.DATA_FILE
        self._lock = JournalLock(directory)
        try:
            if environment.was_created_whole(directory):
                refuse_damage(directory)
            self._start()
        except BaseException:
            self._lock.release()
            raise

    def _start(self) -> None:
        self._env = env = environment.open_environment(self.directory, map_size=self._map_size)
        try:
            self._create_missing(env)
            self._open_tables()
            environment.mark_complete(self.directory)
            self._headroom = Headroom(self._data_file, _RESERVE)
            self._file_id = _id_of(self._data_file)
            self._page_size: int = env.stat()["psize"]
            self._last = self._find_last()
            self._measure()
        except lmdb.Error as error:
            env.close()
            raise CommitFailedError(
                f"the journal {self.directory} can't be written ({error}): make room on its disk"
            ) from None
        except OSError as error:
            env.close()
            raise environment.unusable(self.directory, error) from None
        except JournalError:
            env.close()
            raise

    def _create_missing(self, env: lmdb.Environment) -> None:
        meta = env.open_db(b"meta")
        with env.begin(db=meta) as txn:
            version = txn.get(tables.FORMAT, default=b"0").decode("ascii", "replace")
        if not version.isdigit() or tables.is_newer(version):
            raise JournalNewerError(self.directory, version, codec.FORMAT_VERSION)
        Tables.open(env, create=True)
        with env.begin(write=True, db=meta) as txn:
            if txn.get(tables.FORMAT) is None:
                txn.put(tables.FORMAT, str(codec.FORMAT_VERSION).encode())
                txn.put(tables.AGENT_ID, str(uuid.uuid4()).encode())
                if self._sandbox:
                    txn.put(tables.SANDBOX, b"1")
            elif (txn.get(tables.SANDBOX) is not None) != self._sandbox:
                raise SandboxJournalError(self.directory, is_sandbox=not self._sandbox)

    def _find_last(self) -> int:
        """Numbers are never used twice, even when the newest entries have been removed."""
        with self._reading() as txn:
            cursor = txn.cursor(self._tables.journal)
            newest = int.from_bytes(cursor.key(), "big") if cursor.last() else 0
            removed = int(txn.get(tables.LAST_REMOVED, db=self._tables.meta, default=b"0"))
        return max(newest, removed)

    def commit(self, batch: Sequence[Append]) -> int:
        """As `store.port.Journal.commit`."""
        seq, written, to = self._last, 0, self._tables
        if any(isinstance(record, EventAccepted) for append in batch for record in append.records):
            # Its sender gets a receipt. Deliveries are recorded wherever the file is.
            self._refuse_if_displaced()
        try:
            with self._env.begin(write=True) as txn:
                put = txn.put
                for append in batch:
                    queue = append.queue
                    if append.routing_key is not None:
                        to.put_queue(put, queue, append.routing_key)
                    for record in append.records:
                        seq += 1
                        written += to.put_record(put, seq, queue, record)
                    if append.snapshot is not None:
                        written += to.put_snapshot(put, queue, Snapshot(seq, append.snapshot))
                    if append.forget is not None:
                        self._forget(txn, append)
        except (lmdb.Error, OSError) as error:
            raise CommitFailedError(f"a commit to the journal failed: {error}") from error
        self._entries += seq - self._last
        self._last = seq
        self._unmeasured += written
        return seq

    def _forget(self, txn: Any, append: Append) -> None:
        queue, key, table = append.queue, append.routing_key, self._tables
        assert key is not None
        cursor = txn.cursor(table.by_queue)
        if cursor.set_range(queue_key(queue)) and cursor.key().startswith(queue_key(queue)):
            return  # a queue that is not empty is never removed
        txn.delete(key.encode(), db=table.queues)
        txn.delete(queue_key(queue), db=table.snapshots)
        txn.delete(codec.routing_key_seal(queue, key)[0], db=table.meta)
        sums = Counter(self._forgotten_in(txn))
        sums.update(append.forget)
        txn.put(tables.FORGOTTEN, codec.encode_other(tables.FORGOTTEN, dict(sums)), db=table.meta)

    def remove(self, entries: Iterable[Entry]) -> None:
        """As `store.port.Journal.remove`."""
        try:
            with self._env.begin(write=True) as txn:
                for entry in entries:
                    seq_key = codec.key_of(entry.seq)
                    if not txn.delete(seq_key, db=self._tables.journal):
                        continue  # gone before: its id may belong to a newer entry by now
                    txn.delete(queue_key(entry.queue, entry.seq), db=self._tables.by_queue)
                    if isinstance(entry.record, EventAccepted):
                        txn.delete(entry.record.event.encode(), db=self._tables.events)
                txn.put(tables.LAST_REMOVED, str(self._last).encode(), db=self._tables.meta)
        except (lmdb.Error, OSError) as error:
            raise CommitFailedError(f"removing old records failed: {error}") from error
        self._measure()

    def admit(self) -> None:
        """As `store.port.Journal.admit`."""
        self._refuse_if_displaced()
        if self._unmeasured > _MEASURE_EVERY or self._used >= self._limit:
            self._measure()
        if self._used + self._unmeasured >= self._limit:
            raise JournalFullError(
                f"the journal is full ({self._limit // _MIB} MB, max_journal_mb): room is made by "
                "removing history; if it stays full, what waits needs the room, see "
                "'pagerduty-agent status' and 'pagerduty-agent help full-journal'"
            )
        trouble = self._headroom.ensure((self._env.info()["last_pgno"] + 1) * self._page_size)
        if trouble:
            raise JournalFullError(
                f"the disk of the journal {self.directory} has no room {trouble} "
                "('pagerduty-agent help full-disk')"
            )

    def _refuse_if_displaced(self) -> None:
        if _id_of(self._data_file) != self._file_id:
            raise JournalDisplacedError(self.directory)

    def usage(self) -> Usage:
        """As `store.port.Journal.usage`."""
        return Usage(
            used=self._used + self._unmeasured,
            limit=self._limit,
            entries=self._entries,
        )

    def recover(self) -> None:
        """As `store.port.Journal.recover`: LMDB refuses all after some failures until reopened."""
        try:
            self._write_something()
        except lmdb.Error:
            self._headroom.close()
            self._env.close()
            self._start()
            try:
                self._write_something()
            except lmdb.Error as error:
                raise CommitFailedError(f"the journal still can't be written: {error}") from None
        self._last = self._find_last()
        self._measure()

    def _write_something(self) -> None:
        with self._env.begin(write=True) as txn:
            txn.put(b"recovered", str(self._last).encode(), db=self._tables.meta)

    def close(self) -> None:
        """As `store.port.Journal.close`."""
        self._headroom.close()
        self._env.close()
        self._lock.release()

    def _measure(self) -> None:
        """Count the pages that hold data; free pages inside the file are room."""
        with self._reading() as txn:
            stats = [txn.stat(db) for db in self._tables]
        pages = sum(s["branch_pages"] + s["leaf_pages"] + s["overflow_pages"] for s in stats)
        self._used = pages * self._page_size
        self._entries: int = stats[0]["entries"]
        self._unmeasured = 0


def _id_of(file: Path) -> tuple[int, int] | None:
    """Identifies a file on this host; None if it does not exist."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
