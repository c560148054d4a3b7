"""Where each queue is: its id, its Sequencer if one runs, its state for status.

The Supervisor alone changes entries (a Sequencer publishes its own state); any thread reads them,
so accepting and status need no detour over the Supervisor.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import pykka

from actors.core.state import QueueState
from store.records import QueueId, RoutingKey

Phase = Literal["resting", "running", "passivating", "restarting", "quarantined"]


class QueueEntry(msgspec.Struct, kw_only=True, eq=False):
    """One queue. `state` is the Sequencer's live state: read it, never change it.

    `tail` counts the records behind the snapshot as long as `state` is what the start has read and
    no Sequencer has had it; then it is None.
    """

    id: QueueId
    routing_key: RoutingKey
    state: QueueState
    tail: int | None = None
    sequencer: pykka.ActorRef[Any] | None = None
    incarnation: int = 0
    phase: Phase = "resting"

    def __repr__(self) -> str:
        return f"QueueEntry(id={self.id}, phase={self.phase!r})"


class Directory:
    """All queues by key and by id."""

    def __init__(self) -> None:
        self._by_key: dict[RoutingKey, QueueEntry] = {}
        self._by_id: dict[QueueId, QueueEntry] = {}
        self._last = 0

    def add(self, entry: QueueEntry) -> None:
        """Make a queue known."""
        self._by_id[entry.id] = entry
        self._last = max(self._last, entry.id)
        self._by_key[entry.routing_key] = entry

    def by_key(self, key: RoutingKey) -> QueueEntry | None:
        """The queue of a routing key."""
        return self._by_key.get(key)

    def by_id(self, queue: QueueId) -> QueueEntry:
        """The queue with this id; it must exist."""
        return self._by_id[queue]

    def entries(self) -> list[QueueEntry]:
        """All queues, oldest first."""
        return list(self._by_id.values())

    def next_id(self) -> QueueId:
        """An id for a new queue."""
        return QueueId(self._last + 1)

    def tell(self, queue: QueueId, message: Any) -> bool:
        """Tell a queue's Sequencer; False if none runs: it will look for itself when it starts."""
        sequencer = self._by_id[queue].sequencer
        if sequencer is None:
            return False
        try:
            sequencer.tell(message)
        except pykka.ActorDeadError:
            return False
        return True
