"""Reads a stopped agent's journal, or a copy, without LMDB and without a lock.

Not a byte is changed. What can't be read is noted as damage and passed over, for commands that
look at a journal or save what is left of it; the agent itself never passes over anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec

from store import codec, tables
from store.environment import DATA_FILE, unusable
from store.errors import JournalChangedError, JournalMissingError, JournalNewerError
from store.inspection.data_file import DataFile, Table
from store.lock import refuse_if_held
from store.port import Snapshot
from store.records import Entry, EventId, QueueId, RoutingKey
from store.tables import QUEUE_BYTES, queue_id

_SEQ = 8


class Damage(msgspec.Struct, frozen=True):
    """Something that is not what was written; `seq` names the record, if it is about one."""

    what: str
    seq: int | None = None

    def __str__(self) -> str:
        return self.what if self.seq is None else f"record {self.seq}: {self.what}"


class JournalFile:
    """What is in a journal directory, with all `damage` that reading has met so far.

    Used as a context manager. `entries`, `by_queue` and `events` may be gone through once.

    Raises:
        JournalMissingError: There is no journal.
        JournalUnavailableError: Its file can't be opened.
        JournalLockedError: An agent has it open: reading would be meaningless.
        JournalNewerError: A newer program wrote it.
        JournalChangedError: On exit: an agent was started meanwhile.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.damage: list[Damage] = []
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
    def last_removed(self) -> int:
        """The last sequence number when the retention last removed records; 0 if it never did."""
        number = self.meta.get(tables.LAST_REMOVED, b"0")
        return int(number) if number.isdigit() else 0

    def entries(self) -> Iterator[Entry]:
        """All intact records in order."""
        for key, value in self._rows("journal"):
            if len(key) != _SEQ:
                self.note(f"the journal has a key of {len(key)} bytes")
                continue
            try:
                yield codec.decode(key, value)
            except codec.BadRecordError as error:
                self.note(str(error), int.from_bytes(key, "big"))

    def by_queue(self) -> Iterator[tuple[QueueId, int]]:
        """The index of records by queue: queue and sequence number, in order."""
        for key, _ in self._rows("by_queue"):
            if len(key) == QUEUE_BYTES + _SEQ:
                yield queue_id(key), int.from_bytes(key[QUEUE_BYTES:], "big")
            else:
                self.note(f"the index by queue has a key of {len(key)} bytes")

    def events(self) -> Iterator[tuple[EventId, int]]:
        """The index of events: event and sequence number of its `EventAccepted`."""
        for key, value in self._rows("events"):
            if len(value) == _SEQ:
                yield EventId(key.decode("utf-8", "replace")), int.from_bytes(value, "big")
            else:
                self.note("the index of events has a value that is no sequence number")

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
            if len(value) != QUEUE_BYTES or value in known:
                self.note("the table of queues has a row that makes no sense")
                continue
            known.add(value)
            queue = queue_id(value)
            try:
                yield queue, codec.routing_key(queue, key, self.meta.get)
            except codec.BadRecordError as error:
                self.note(f"the routing key of queue {queue}: {error}")

    def _read_snapshots(self) -> Iterator[tuple[QueueId, Snapshot]]:
        for key, value in self._rows("snapshots"):
            try:
                yield queue_id(key), codec.decode_snapshot(key, value)
            except codec.BadRecordError as error:
                self.note(f"the snapshot of queue {queue_id(key)}: {error}")

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
