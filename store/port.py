"""The journal as its users see it; `store.lmdb_journal` implements it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from store.records import AcceptedEntry, Entry, EventId, Numbered, QueueId, Record, RoutingKey


class Append(msgspec.Struct, frozen=True, kw_only=True):
    """What one queue adds in one transaction.

    `routing_key` is given with a queue's first append. `snapshot` is the folded state after
    `records` (and all appends before) in pieces, which may be made when they are asked for: once,
    in the thread that commits. `forget` removes a queue that has no entries any more; it
    holds figures that the journal adds up over all such queues.
    """

    queue: QueueId
    records: Sequence[Record] = ()
    routing_key: RoutingKey | None = None
    snapshot: Iterable[bytes] | None = None
    forget: Mapping[str, int] | None = None


class Snapshot(msgspec.Struct, frozen=True):
    """A queue's folded state, in the pieces in which it was given.

    `seq` is the last journal entry that may be contained in it.
    """

    seq: int
    pieces: tuple[bytes, ...]


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Room in bytes; new events are refused at `limit`."""

    used: int
    limit: int
    entries: int


class Journal(Protocol):
    """An append-only record of every transition. One writer thread, any number of readers."""

    agent_id: str

    def commit(self, batch: Sequence[Append]) -> int:
        """Write all appends in one durable transaction and return the last sequence number.

        Raises `CommitFailedError`: then nothing is known about what was persisted; and
        `JournalDisplacedError` instead of accepting an event where no restart would find it.
        """

    def remove(self, entries: Iterable[Entry]) -> None:
        """Remove entries (and the index rows of accepted events) durably."""

    def admit(self) -> None:
        """Whether new events can be taken.

        Raises `JournalFullError` if there is no room for them, `JournalDisplacedError` if a
        restart would not find them.
        """

    def usage(self) -> Usage:
        """How much room is used and left."""

    def queues(self) -> dict[QueueId, RoutingKey]:
        """All queues but those that were forgotten."""

    def forgotten(self) -> dict[str, int]:
        """The sums of the figures that were given with forgotten queues."""

    def snapshot(self, queue: QueueId) -> Snapshot | None:
        """The last saved snapshot of a queue."""

    def entries(self, queue: QueueId, after: int = 0) -> Iterator[Entry]:
        """A queue's entries with `seq > after`, oldest first. Raises `JournalDamagedError`."""

    def scan(self, after: Mapping[QueueId, int] = ...) -> Iterator[tuple[QueueId, list[Numbered]]]:
        """All records, one queue after the other, some of one queue at a time, oldest first.

        Those of a queue up to the number in `after`, if it is there, are checked but left out.
        Raises `JournalDamagedError`, at the end also for an index that does not fit the records.
        """

    def accepted(self, event: EventId) -> AcceptedEntry | None:
        """The entry of an event's acceptance, or None if it is unknown or removed."""

    def history(self, event: EventId) -> Iterator[Entry]:
        """An event's entries from its acceptance on, oldest first, with those about all its queue.

        Ends with the record that ended the event, if one did; empty if it is unknown or removed.
        Skips over what happened to other events meanwhile, which is checked for nothing.
        Raises `JournalDamagedError`.
        """

    def backwards(self, before: int | None = None, queue: QueueId | None = None) -> Iterator[Entry]:
        """Entries with `seq < before` (None: all), of one queue or all of them, newest first.

        Raises `JournalDamagedError`.
        """

    def find_events(self, part: str, limit: int) -> list[EventId]:
        """At most `limit` known event ids that begin with `part`; if none does, that contain it.

        The latter reads the ids of all events: about a second for three million.
        """

    def recover(self) -> None:
        """Make the journal usable again after a failed commit."""

    def close(self) -> None:
        """Close; nothing may be called afterwards."""
