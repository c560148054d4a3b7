"""A journal on a disk that fails, fills up, and is there after a crash with what was committed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import msgspec

from store.errors import CommitFailedError, JournalFullError, JournalUnavailableError
from store.port import Append, Journal, Snapshot, Usage
from store.records import (
    AcceptedEntry,
    Entry,
    EventAccepted,
    EventId,
    Numbered,
    QueueId,
    Record,
    RoutingKey,
)
from tests.simulation.runtime import Injected, Runtime
from tests.simulation.witness import Witness


class DiskTrouble(msgspec.Struct, kw_only=True):
    """How likely each trouble is: per commit, per removal or per read.

    A `mistake` raises what nobody expects, in so many commits in a row. One of two that `hang`
    never return: then the process is killed.
    """

    crash: float = 0.0
    failure: float = 0.0
    mistake: float = 0.0
    hang: float = 0.0
    removal_failure: float = 0.0
    unreadable: float = 0.0


class SimulatedDisk:
    """Wraps a journal; the witness sees what is committed when it is."""

    def __init__(
        self,
        open_journal: Callable[[], Journal],
        witness: Witness,
        runtime: Runtime,
        chance: random.Random,
        trouble: DiskTrouble,
    ) -> None:
        self.trouble = trouble
        self.full = False
        self.removed_anything = False
        self.disturbances: list[float] = []
        self._open = open_journal
        self._inner = open_journal()
        self._witness = witness
        self._runtime = runtime
        self._clock = runtime.clock
        self._draw = chance.random
        self._broken_until = 0.0
        self._mistakes = 0
        self._hangs = False

    @property
    def agent_id(self) -> str:
        """Of the journal."""
        return self._inner.agent_id

    @agent_id.setter
    def agent_id(self, value: str) -> None:
        raise AttributeError("the journal's agent id is its own")

    @property
    def works(self) -> bool:
        """Whether commits can succeed just now."""
        return self._clock.now >= self._broken_until and not self._hangs

    def reopen(self) -> None:
        """The process that had it open ended, another one begins."""
        self._inner.close()
        self._inner = self._open()

    def commit(self, batch: Sequence[Append]) -> int:
        """Commit, crash or fail; neither says whether the disk has got it."""
        trouble = self.trouble
        draw = self._draw()
        if draw < trouble.crash:
            self._perhaps(lambda: self._commit(batch))
            self._runtime.crash("in a commit")
        if not self.works:
            raise CommitFailedError("the disk is broken")
        if draw < trouble.crash + trouble.failure:
            self._perhaps(lambda: self._commit(batch))
            self._break()
            raise CommitFailedError("the disk has just broken")
        if trouble.mistake and self._draw() < trouble.mistake:
            self._mistakes = 10
        if self._mistakes and trouble.mistake:
            self._mistakes -= 1
            self._perhaps(lambda: self._commit(batch))
            self.disturbances.append(self._clock.now)
            raise Injected("in a commit")
        if trouble.hang and self._draw() < trouble.hang:
            self._hang(batch)
        return self._commit(batch)

    def _hang(self, batch: Sequence[Append]) -> None:
        self._hangs = True
        self._runtime.note(lambda: "disk: hangs")
        try:
            self._runtime.hang(self._draw() * 60)
        finally:
            self._hangs = False
        self.disturbances.append(self._clock.now)
        if self._draw() < 0.5:
            self._perhaps(lambda: self._commit(batch))
            self._runtime.crash("in a commit that never returned")

    def remove(self, entries: Iterable[Entry]) -> None:
        """Remove, or fail before or after it."""
        entries = list(entries)
        if not self.works:
            raise CommitFailedError("the disk is broken")
        if self._draw() < self.trouble.removal_failure:
            self._perhaps(lambda: self._remove(entries))
            self._break()
            raise CommitFailedError("the disk has just broken")
        self._remove(entries)

    def admit(self) -> None:
        """As the journal, and refuse while the disk is full."""
        if self.full:
            raise JournalFullError("the disk has no room")
        self._inner.admit()

    def usage(self) -> Usage:
        """Of the journal."""
        return self._inner.usage()

    def queues(self) -> dict[QueueId, RoutingKey]:
        """Of the journal."""
        return self._inner.queues()

    def forgotten(self) -> dict[str, int]:
        """Of the journal."""
        return self._inner.forgotten()

    def snapshot(self, queue: QueueId) -> Snapshot | None:
        """Of the journal, if it can be read."""
        self._perhaps_unreadable()
        return self._inner.snapshot(queue)

    def entries(self, queue: QueueId, after: int = 0) -> Iterator[Entry]:
        """Of the journal, if they can be read."""
        self._perhaps_unreadable()
        return self._inner.entries(queue, after)

    def scan(
        self, after: Mapping[QueueId, int] = MappingProxyType({})
    ) -> Iterator[tuple[QueueId, list[Numbered]]]:
        """Of the journal."""
        return self._inner.scan(after)

    def accepted(self, event: EventId) -> AcceptedEntry | None:
        """Of the journal, if it can be read."""
        self._perhaps_unreadable()
        return self._inner.accepted(event)

    def history(self, event: EventId) -> Iterator[Entry]:
        """Of the journal."""
        return self._inner.history(event)

    def backwards(self, before: int | None = None, queue: QueueId | None = None) -> Iterator[Entry]:
        """Of the journal."""
        return self._inner.backwards(before, queue)

    def find_events(self, part: str, limit: int) -> list[EventId]:
        """Of the journal."""
        return self._inner.find_events(part, limit)

    def recover(self) -> None:
        """Works again once the disk does."""
        if not self.works:
            raise CommitFailedError("the disk is still broken")
        # Until now the writer refused all writes, without asking the disk.
        self.disturbances.append(self._clock.now)
        self._inner.recover()

    def close(self) -> None:
        """Close the journal."""
        self._inner.close()

    def quietly(self) -> Journal:
        """The journal itself, for looking at it without any trouble."""
        return self._inner

    def _commit(self, batch: Sequence[Append]) -> int:
        last = self._inner.commit(batch)
        for append in batch:
            if append.forget is not None:
                self._witness.forgotten(append.queue)
            for record in append.records:
                self._note(append.queue, record)
                self._witness.see(append.queue, record)
        return last

    def _note(self, queue: QueueId, record: Record) -> None:
        self._runtime.note(lambda: f"disk: queue {queue}: {record}")

    def _remove(self, entries: Sequence[Entry]) -> None:
        self._witness.removed(entry for entry in entries if self._is_there(entry))
        self._inner.remove(entries)
        self.removed_anything = True

    def _is_there(self, entry: Entry) -> bool:
        """False for one that was removed before; its event's id may be another's by now."""
        if not isinstance(entry.record, EventAccepted):
            return False
        found = self._inner.accepted(entry.record.event)
        return found is not None and found.seq == entry.seq

    def _perhaps(self, action: Callable[[], object]) -> None:
        if self._draw() < 0.5:
            action()

    def _break(self) -> None:
        self.disturbances.append(self._clock.now)
        self._runtime.note(lambda: "disk: breaks")
        self._broken_until = self._clock.now + self._draw() * 20

    def _perhaps_unreadable(self) -> None:
        if self.trouble.unreadable and self._draw() < self.trouble.unreadable:
            self.disturbances.append(self._clock.now)
            raise JournalUnavailableError("the disk can't be read just now")
