"""Reads a stopped agent's journal, or a copy, without LMDB and without a lock.

Not a byte is changed. What can't be read is noted as damage and passed over, for commands that
look at a journal or save what is left of it; the agent itself never passes over anything.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec

from store import codec, tables, version_1
from store.codec import BadRecordError, queue_id
from store.environment import DATA_FILE, unusable
from store.errors import JournalChangedError, JournalMissingError, JournalNewerError
from store.inspection.data_file import DataFile, Table
from store.inspection.watching import WatchRows, unwatched
from store.lock import refuse_if_held
from store.port import Snapshot
from store.records import Entry, EventId, QueueId, RoutingKey


class Damage(msgspec.Struct, frozen=True):
    """Something that is not what was written; `seq` names the record, if it is about one."""

    what: str
    seq: int | None = None

    def __str__(self) -> str:
        return self.what if self.seq is None else f"record {self.seq}: {self.what}"


class JournalFile:
    """What is in a journal directory, with all `damage` that reading has met so far.

    Used as a context manager. `entries`, `by_queue` and `events` may be gone through once; `watch`
    sees how far `entries` has come.
    `unconverted` are the numbers of records in the form of version 1, as far as they were read.

    Raises:
        JournalMissingError: There is no journal.
        JournalUnavailableError: Its file can't be opened.
        JournalLockedError: An agent has it open: reading would be meaningless.
        JournalNewerError: A newer program wrote it.
        JournalChangedError: On exit: an agent was started meanwhile.
    """

    def __init__(self, directory: Path, watch: WatchRows = unwatched) -> None:
        self.directory = directory
        self._watch = watch
        self.damage: list[Damage] = []
        self.unconverted: defaultdict[QueueId, array[int]] = defaultdict(lambda: array("Q"))
        if not (directory / DATA_FILE).exists():
            raise JournalMissingError(directory)
        refuse_if_held(directory)
        try:
            self._file = DataFile(directory, self.note)
        except OSError as error:
            raise unusable(directory, error) from None
        try:
            self._tables = self._file.tables()
            self.meta = dict(self._rows("meta"))
            self._check_format()
            self.figures = self._read_figures()
            self.queues = dict(self._read_queues())
            self.snapshots = dict(self._read_snapshots())
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._file.close()
        if error is None:
            self._refuse_change()

    def note(self, what: str, seq: int | None = None) -> None:
        """Note damage."""
        self.damage.append(Damage(what, seq))

    @property
    def newest(self) -> int:
        """The last sequence number that was ever given; 0 if the journal does not say."""
        return max(self.last_removed, self.figures.get(tables.NEWEST, 0))

    @property
    def last_removed(self) -> int:
        """The last sequence number when the retention last removed records; 0 if it never did."""
        number = self.meta.get(tables.LAST_REMOVED, b"0")
        return int(number) if number.isdigit() else 0

    def entries(self) -> Iterator[Entry]:
        """All intact records in order."""
        places = self._places_in_order()
        for place in self._watch(places, len(places)):
            key, value = self._file.row_at(place)
            if len(key) == codec.SEQ_BYTES:
                yield from self._of_version_1(key, value)
                continue
            queue = queue_id(key)
            try:
                for seq, body in codec.bodies_in(key, value):
                    try:
                        yield Entry(seq, queue, codec.record_in(seq, body))
                    except BadRecordError as error:
                        self.note(str(error), error.seq)
            except BadRecordError as error:
                self.note(str(error), error.seq)

    def _places_in_order(self) -> list[int]:
        """Where the rows of the journal are, by the numbers of their first records."""
        table = self._tables.get("journal")
        if table is None:
            self.note("the table 'journal' is missing")
            return []
        firsts, places = array("Q"), array("Q")
        for key, _, place in self._file.placed_rows(table):
            if len(key) in (codec.SEQ_BYTES, codec.QUEUE_BYTES + codec.SEQ_BYTES):
                firsts.append(codec.seq_in(key))
                places.append(place)
            else:
                self.note(f"the journal has a key of {len(key)} bytes")
        return [places[n] for n in sorted(range(len(firsts)), key=firsts.__getitem__)]

    def _of_version_1(self, key: bytes, value: bytes) -> Iterator[Entry]:
        try:
            entry = version_1.decode(key, value)
        except BadRecordError as error:
            self.note(str(error), error.seq)
            return
        self.unconverted[entry.queue].append(entry.seq)
        yield entry

    def by_queue(self) -> Iterator[tuple[QueueId, int]]:
        """The index by queue of a journal of version 1: queue and sequence number, in order."""
        table = self._tables.get(version_1.BY_QUEUE.decode())
        for key, _ in self._file.rows(table) if table is not None else ():
            if len(key) == codec.QUEUE_BYTES + codec.SEQ_BYTES:
                yield queue_id(key), codec.seq_in(key)
            else:
                self.note(f"the index by queue has a key of {len(key)} bytes")

    def events(self) -> Iterator[tuple[EventId, QueueId | None, int]]:
        """The index of events: event, queue and sequence number of its `EventAccepted`.

        Version 1 of the format does not name the queue.
        """
        for key, value in self._rows("events"):
            event = EventId(key.decode("utf-8", "replace"))
            if len(value) == codec.QUEUE_BYTES + codec.SEQ_BYTES:
                yield event, queue_id(value), codec.seq_in(value)
            elif len(value) == codec.SEQ_BYTES:
                yield event, None, codec.seq_in(value)
            else:
                self.note("the index of events has a value that is no place of a record")

    def check_free_list(self) -> None:
        """Note free pages that are in use; only after everything else was read."""
        self._file.check_free_list()

    def _rows(self, name: str) -> Iterator[tuple[bytes, bytes]]:
        table: Table | None = self._tables.get(name)
        if table is None:
            self.note(f"the table {name!r} is missing")
            return
        yield from self._file.rows(table)

    def _check_format(self) -> None:
        version = self.meta.get(tables.FORMAT, b"").decode("ascii", "replace")
        if tables.is_newer(version):
            raise JournalNewerError(self.directory, version, codec.FORMAT_VERSION)
        if not version.isdigit():
            self.note("its format is not noted")

    def _read_queues(self) -> Iterator[tuple[QueueId, RoutingKey]]:
        known = set()
        for key, value in self._rows("queues"):
            if len(value) != codec.QUEUE_BYTES or value in known:
                self.note("the table of queues has a row that makes no sense")
                continue
            known.add(value)
            queue = queue_id(value)
            try:
                yield queue, tables.routing_key(queue, key, self.meta.get)
            except BadRecordError as error:
                self.note(f"the routing key of queue {queue}: {error}")

    def _read_snapshots(self) -> Iterator[tuple[QueueId, Snapshot]]:
        rows = dict(self._rows("snapshots"))
        for key, value in rows.items():
            if len(key) > codec.QUEUE_BYTES:
                continue
            try:
                stored = codec.decode_snapshot(key, value)
                yield queue_id(key), tables.snapshot_of(queue_id(key), stored, rows.get)
            except BadRecordError as error:
                self.note(f"the snapshot of queue {queue_id(key)}: {error}")

    def _read_figures(self) -> dict[str, int]:
        value = self.meta.get(tables.FIGURES)
        try:
            return {} if value is None else codec.decode_figures(tables.FIGURES, value)
        except BadRecordError as error:
            self.note(f"the number of its last record: {error}")
            return {}

    def _refuse_change(self) -> None:
        refuse_if_held(self.directory)
        try:
            # Its damage was noted when it was opened first.
            again = DataFile(self.directory, lambda what: None)
        except OSError as error:
            raise unusable(self.directory, error) from None
        again.close()
        if again.transaction != self._file.transaction:
            raise JournalChangedError(self.directory)
