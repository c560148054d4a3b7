"""A journal around a real one that fails where a test says."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from store.port import Append, Journal, Snapshot, Usage
from store.records import AcceptedEntry, Entry, EventId, Numbered, QueueId, RoutingKey


def nothing(*_: Any) -> None:
    """The fault that is none."""


def times(count: int, error: BaseException) -> Callable[..., None]:
    """A fault that raises `error` the first `count` times."""
    left = itertools.count(count, -1)

    def fault(*_: Any) -> None:
        if next(left) > 0:
            raise error

    return fault


class FaultyJournal:
    """Calls `before_...` with the arguments of the same call first: what it raises is the fault."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.agent_id = journal.agent_id
        self.before_commit: Callable[[Sequence[Append]], None] = nothing
        self.after_commit: Callable[[Sequence[Append]], None] = nothing
        self.before_remove: Callable[[Iterable[Entry]], None] = nothing
        self.before_admit: Callable[[], None] = nothing
        self.before_snapshot: Callable[[QueueId], None] = nothing
        self.before_entries: Callable[[QueueId], None] = nothing
        self.before_accepted: Callable[[EventId], None] = nothing
        self.before_recover: Callable[[], None] = nothing

    def commit(self, batch: Sequence[Append]) -> int:
        """`after_commit` raises once the batch is on disk."""
        self.before_commit(batch)
        seq = self._journal.commit(batch)
        self.after_commit(batch)
        return seq

    def remove(self, entries: Iterable[Entry]) -> None:
        self.before_remove(entries)
        self._journal.remove(entries)

    def admit(self) -> None:
        self.before_admit()
        self._journal.admit()

    def usage(self) -> Usage:
        return self._journal.usage()

    def queues(self) -> dict[QueueId, RoutingKey]:
        return self._journal.queues()

    def forgotten(self) -> dict[str, int]:
        return self._journal.forgotten()

    def snapshot(self, queue: QueueId) -> Snapshot | None:
        self.before_snapshot(queue)
        return self._journal.snapshot(queue)

    def entries(self, queue: QueueId, after: int = 0) -> Iterator[Entry]:
        self.before_entries(queue)
        return self._journal.entries(queue, after)

    def scan(
        self, after: Mapping[QueueId, int] = MappingProxyType({})
    ) -> Iterator[tuple[QueueId, list[Numbered]]]:
        return self._journal.scan(after)

    def accepted(self, event: EventId) -> AcceptedEntry | None:
        self.before_accepted(event)
        return self._journal.accepted(event)

    def find_events(self, part: str, limit: int) -> list[EventId]:
        return self._journal.find_events(part, limit)

    def recover(self) -> None:
        self.before_recover()
        self._journal.recover()

    def close(self) -> None:
        self._journal.close()
