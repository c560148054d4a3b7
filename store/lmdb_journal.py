"""The journal in LMDB: five named databases, all written in one durable transaction per commit."""

from __future__ import annotations

import sys
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import lmdb

from store import codec, conversion, environment, tables
from store.codec import BadRecordError, queue_key
from store.errors import (
    CommitFailedError,
    JournalDisplacedError,
    JournalError,
    JournalForeignError,
    JournalFullError,
    JournalNewerError,
    SandboxJournalError,
)
from store.headroom import Headroom
from store.inspection.data_file import refuse_damage
from store.lmdb_reader import LmdbReader
from store.lock import JournalLock
from store.port import Append, Usage
from store.records import Entry, QueueId
from store.tables import Rows, Tables

_MIB = 1 << 20
_COMMITTING = 0.000_05
"""Seconds for which other threads keep the interpreter lock during a commit."""
_RESERVE = 16 * _MIB
_MEASURE_EVERY = _MIB


class LmdbJournal(LmdbReader):
    """Opens (and creates) the journal in `directory` for this process alone.

    `limit` (bytes): beyond it `admit` refuses; the map is half as large again, so that whatever
    was accepted can still be delivered and recorded. One thread writes; any thread reads.
    A journal of the `sandbox` is marked when it is created, and opened only as such.
    """

    _last_commit_counts = True  # it must outlive a crash of the system

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
        self._env = env = environment.open_environment(
            self.directory, map_size=self._map_size, metasync=self._last_commit_counts
        )
        try:
            self._create_missing(env)
            for _ in conversion.convert(env, self.directory):
                pass
            self._open_tables()
            environment.mark_complete(self.directory)
            self._headroom = Headroom(self._data_file, _RESERVE)
            self._file_id = _id_of(self._data_file)
            self._page_size: int = env.stat()["psize"]
            self._read_figures()
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
            self._check_use(txn, txn.get(tables.LOG) is not None)

    def _check_use(self, txn: Any, is_copy: bool) -> None:
        """Raise `JournalForeignError` for a journal of the other use; `txn` is one of `meta`."""
        if is_copy:
            raise JournalForeignError(
                f"the journal {self.directory} is a relay's copy, whose events other relays "
                "deliver as well: configure 'engine', or another 'database'"
            )

    def _read_figures(self) -> None:
        """Numbers are never used twice, even when the newest entries have been removed."""
        with self._reading() as txn:
            figures = self._figures(txn)
        self._last, self._entries = figures.get(tables.NEWEST, 0), figures.get(tables.RECORDS, 0)

    def commit(self, batch: Sequence[Append]) -> int:
        """As `store.port.Journal.commit`."""
        seq, to, rows = self._last, self._tables, Rows()
        snapshots: list[tuple[QueueId, int, Iterable[bytes]]] = []
        for append in batch:
            if append.records:
                rows.add(append.queue, seq + 1, append.records)
                seq += len(append.records)
            if append.snapshot is not None:
                snapshots.append((append.queue, seq, append.snapshot))
        if rows.events:
            # Its sender gets a receipt. Deliveries are recorded wherever the file is.
            self._refuse_if_displaced()
        entries = self._entries + seq - self._last
        try:
            with quick_turns(), self._env.begin(write=True) as txn:
                written = rows.put(txn, to)
                for snapshot in snapshots:
                    written += to.put_snapshot(txn, *snapshot)
                for append in batch:
                    if append.routing_key is not None and append.forget is None:
                        to.put_queue(txn.put, append.queue, append.routing_key)
                    if append.forget is not None:
                        self._forget(txn, append)
                if rows.journal:
                    to.put_figures(txn.put, seq, entries)
        except (lmdb.Error, OSError) as error:
            raise CommitFailedError(f"a commit to the journal failed: {error}") from error
        self._last, self._entries = seq, entries
        self._unmeasured += written
        return seq

    def _forget(self, txn: Any, append: Append) -> None:
        queue, key, table = append.queue, append.routing_key, self._tables
        assert key is not None
        cursor = txn.cursor(table.journal)
        if cursor.set_range(queue_key(queue)) and cursor.key().startswith(queue_key(queue)):
            return  # a queue that is not empty is never removed
        txn.delete(key.encode(), db=table.queues)
        txn.delete(queue_key(queue), db=table.snapshots)
        table.delete_pieces(txn, queue, 1)
        txn.delete(tables.routing_key_seal(queue, key)[0], db=table.meta)
        sums = Counter(self._forgotten_in(txn))
        sums.update(append.forget)
        txn.put(tables.FORGOTTEN, codec.encode_other(tables.FORGOTTEN, dict(sums)), db=table.meta)

    def remove(self, entries: Iterable[Entry]) -> None:
        """As `store.port.Journal.remove`."""
        ordered = sorted(entries, key=lambda entry: (entry.queue, entry.seq))
        try:
            with self._env.begin(write=True) as txn:
                left = self._entries
                for queue, of_queue in groupby(ordered, key=lambda entry: entry.queue):
                    left -= self._remove_of(txn, queue, [entry.seq for entry in of_queue])
                self._tables.put_figures(txn.put, self._last, left)
                self._put_removed(txn, self._last)
        except BadRecordError as error:
            raise CommitFailedError(f"removing old records failed: {error}") from None
        except (lmdb.Error, OSError) as error:
            raise CommitFailedError(f"removing old records failed: {error}") from error
        self._entries = left
        self._measure()

    def _put_removed(self, txn: Any, newest: int) -> None:
        txn.put(tables.LAST_REMOVED, str(newest).encode(), db=self._tables.meta)

    def _remove_of(self, txn: Any, queue: QueueId, seqs: Sequence[int]) -> int:
        """Remove a queue's entries by their numbers, in order; returns how many were there."""
        cursor, table, prefix = txn.cursor(self._tables.journal), self._tables, queue_key(queue)
        left, removed = set(seqs), 0
        for wanted in seqs:
            if wanted not in left or not self._to_row_of(cursor, queue_key(queue, wanted)):
                continue
            key, value = cursor.key(), cursor.value()
            if not key.startswith(prefix):
                continue
            gone = {seq: body for seq, body in codec.bodies_in(key, value) if seq in left}
            if not gone:
                continue  # gone before: its id may belong to a newer entry by now
            events = [codec.accepted_in(*each) for each in gone.items()]
            kept = codec.without(key, value, gone.keys())
            if kept is None:
                txn.delete(key, db=table.journal)
            else:
                txn.put(key, kept, db=table.journal)
            left -= gone.keys()
            removed += len(gone)
            for event in events:
                if event is not None:
                    txn.delete(event, db=table.events)
        return removed

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
        self._read_figures()
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
        self._unmeasured = 0


@contextmanager
def quick_turns() -> Iterator[None]:
    """py-lmdb gives up the interpreter lock at each put: get it back soon from who computes."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_COMMITTING)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def _id_of(file: Path) -> tuple[int, int] | None:
    """Identifies a file on this host; None if it does not exist."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
