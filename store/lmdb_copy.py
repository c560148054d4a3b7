"""The copy of a replicated journal on a relay's disk. It serves all reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import lmdb

from store import codec, tables
from store.codec import BadRecordError, queue_key
from store.errors import CommitFailedError, JournalDamagedError, JournalForeignError
from store.lmdb_journal import LmdbJournal, quick_turns
from store.port import Append
from store.records import QueueId, RoutingKey
from store.replication import Committed, Kept, Position, Removed, Replicated, Row, SnapshotRow
from store.tables import Rows


class LmdbCopy(LmdbJournal):
    """A journal that changes only as a log says; with each change it stores how far it is.

    Raises `JournalForeignError` when it is opened where an agent keeps events of its own.
    """

    _last_commit_counts = False  # the log has it

    def position(self) -> Position | None:
        """How far the copy is, or None if it is new."""
        with self._reading(self._tables.meta) as txn, self._intact("its place in the log"):
            value = txn.get(tables.LOG)
            return None if value is None else Position.decoded(codec.check(tables.LOG, value))

    def begin(self, position: Position) -> None:
        """Empty the copy: it is to be filled from a log, from behind this position on."""
        meta = self._tables.meta
        with self._failing(), self._env.begin(write=True) as txn:
            kept = [(key, txn.get(key, db=meta)) for key in (tables.FORMAT, tables.SANDBOX)]
            for table in self._tables:
                txn.drop(table, delete=False)
            for key, value in [*kept, (tables.AGENT_ID, position.log.encode())]:
                if value is not None:
                    txn.put(key, value, db=meta)
            self._put_position(txn, position)
        self.agent_id = position.log
        self._read_figures()
        self._measure()

    def change_of(self, batch: Sequence[Append]) -> Committed:
        """What a commit of this batch is, as a change. Asks for the pieces of snapshots.

        A queue that has entries is not forgotten; a copy that is being filled could not know that.
        """
        seq, rows = self._last, Rows()
        snapshots: list[SnapshotRow] = []
        for append in batch:
            if append.records:
                rows.add(append.queue, seq + 1, append.records)
                seq += len(append.records)
            if append.snapshot is not None:
                snapshots.append((append.queue, seq, list(append.snapshot)))
        busy = {append.queue for append in batch if append.records}
        keys = [
            (append.queue, append.routing_key, _plain(append.forget))
            for append in batch
            if append.routing_key is not None
            if append.forget is None or not (append.queue in busy or self._has_entries(append))
        ]
        return Committed(self._last, seq, rows.journal, rows.events, snapshots, list(keys))

    def _has_entries(self, append: Append) -> bool:
        return next(self._bodies(append.queue, 0), None) is not None

    def apply(self, changes: Iterable[Replicated], position: Position) -> None:
        """Write changes that follow each other in the log, up to `position`, in one transaction.

        Raises `CommitFailedError`: then `recover` and `position` tell whether they were written.
        """
        last, entries, written, removed = self._last, self._entries, 0, False
        with (
            self._failing(),
            quick_turns(),
            self._env.begin(write=True) as txn,
        ):
            for change in changes:
                match change:
                    case Committed():
                        if change.after < last:
                            what = f"the log goes on after record {change.after}, it has {last}"
                            raise JournalDamagedError(what, directory=self.directory)
                        written += self._commit_in(txn, change)
                        entries += change.newest - change.after
                        last = change.newest
                    case Removed():
                        removed = True
                        for queue, seqs in change.entries:
                            entries -= self._remove_of(txn, queue, seqs)
                        self._put_removed(txn, last)
                    case Kept():
                        entries += self._keep(txn, change)
                        last = max(last, change.newest)
                    case _:
                        continue
                self._tables.put_figures(txn.put, last, entries)
            self._put_position(txn, position)
        self._last, self._entries = last, entries
        self._unmeasured += written
        if removed:
            self._measure()

    def _commit_in(self, txn: Any, change: Committed) -> int:
        to = self._tables
        txn.cursor(to.journal).putmulti(change.rows)
        txn.cursor(to.events).putmulti(change.events)
        written = sum(len(value) for _, value in change.rows)
        for snapshot in change.snapshots:
            written += to.put_snapshot(txn, *snapshot)
        for queue, text, figures in change.keys:
            key = RoutingKey(text)
            if figures is None:
                to.put_queue(txn.put, queue, key)
            else:
                self._forget(txn, Append(queue=queue, routing_key=key, forget=figures))
        return written

    def _keep(self, txn: Any, kept: Kept) -> int:
        """Write what is missing; returns how many entries that were."""
        added, to = 0, self._tables
        for key, value in kept.rows:
            if txn.put(key, value, db=to.journal, overwrite=False):
                added += len(codec.bodies_in(key, value))
        for event, place in kept.events:
            txn.put(event, place, db=to.events, overwrite=False)
        for snapshot in kept.snapshots:
            if txn.get(queue_key(snapshot[0]), db=to.snapshots) is None:
                to.put_snapshot(txn, *snapshot)
        for queue, text, _ in kept.keys:
            if txn.get(text.encode(), db=to.queues) is None:
                to.put_queue(txn.put, queue, RoutingKey(text))
        if kept.forgotten:
            value = codec.encode_other(tables.FORGOTTEN, kept.forgotten)
            txn.put(tables.FORGOTTEN, value, db=to.meta)
        if kept.removed:
            self._put_removed(txn, kept.removed)
        return added

    def still_needed(self, changes: Iterable[Replicated]) -> Kept:
        """What the copy still has of these changes, as it is now."""
        rows: dict[bytes, bytes] = {}
        events: list[Row] = []
        snapshots: dict[QueueId, SnapshotRow] = {}
        keys: dict[str, QueueId] = {}
        with self._reading() as txn, self._intact("a record that is to be kept in the log"):
            for change in changes:
                if not isinstance(change, Committed | Kept):
                    continue
                for key, _ in change.rows:
                    value = txn.get(key, db=self._tables.journal)
                    if value is not None and key not in rows:
                        rows[key] = value
                        events += _events_in(key, value)
                for queue, seq, _ in change.snapshots:
                    current = self.snapshot(queue)
                    if current is not None and current.seq == seq:
                        snapshots[queue] = (queue, seq, list(current.pieces))
                for queue, text, _ in change.keys:
                    if txn.get(text.encode(), db=self._tables.queues) == queue_key(queue):
                        keys[text] = queue
            removed = int(txn.get(tables.LAST_REMOVED, db=self._tables.meta, default=b"0"))
            return Kept(
                self._last,
                removed,
                self._forgotten_in(txn),
                list(rows.items()),
                events,
                list(snapshots.values()),
                [(queue, text, None) for text, queue in keys.items()],
            )

    def _put_position(self, txn: Any, position: Position) -> None:
        value = codec.sealed(tables.LOG, position.encoded())
        txn.put(tables.LOG, value, db=self._tables.meta)

    def _check_use(self, txn: Any, is_copy: bool) -> None:
        figures = txn.get(tables.FIGURES)
        if not is_copy and figures is not None:
            raise JournalForeignError(
                f"the journal {self.directory} holds an agent's own events: a relay needs an "
                "empty directory, name one with 'database'"
            )

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except (BadRecordError, lmdb.Error, OSError) as error:
            raise CommitFailedError(f"a commit to the journal failed: {error}") from error


def _plain(figures: Any) -> dict[str, int] | None:
    return None if figures is None else dict(figures)


def _events_in(key: bytes, value: bytes) -> Iterator[Row]:
    """The rows of the index of events for a row of records; raises `BadRecordError`."""
    queue = codec.queue_id(key)
    for seq, body in codec.bodies_in(key, value):
        event = codec.accepted_in(seq, body)
        if event is not None:
            yield event, queue_key(queue, seq)
