"""Where each queue is: its id, its Sequencer if one runs, its state, the commands that wait.

Commands wait here and not in the Sequencer's own inbox: its successor finds them, in their order.
Any thread reads entries; what has to change together is changed under one lock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice, takewhile
from typing import Any, Literal

import msgspec
import pykka

from actors.core.state import QueueState, summarise
from actors.figures import Figures, Sums
from actors.messages import Grant, Perform, PerformAll, tell
from actors.slots import EndedAttempt
from store.records import QueueId, RoutingKey

Phase = Literal["stopped", "running", "restarting", "quarantined"]


class QueueEntry(msgspec.Struct, kw_only=True, eq=False):
    """One queue. `state` is the Sequencer's live state: read it, never change it.

    `commands` is None while no Sequencer runs and no command waits for one. `tail` counts the
    records behind the snapshot as long as `state` is what the start has read and no Sequencer has
    had it; then it is None. `claimed` is the last verdict that a Sequencer has recorded, with the
    time of the attempt: a commit that fails loses the record. `forgetting`: its removal from the
    journal has been requested. `oldest_at` is the time of its oldest record, as the janitor has
    last seen it. `changed` and `counted` are `actors.figures`'.
    """

    id: QueueId
    routing_key: RoutingKey
    state: QueueState
    tail: int | None = None
    sequencer: pykka.ActorRef[Any] | None = None
    incarnation: int = 0
    phase: Phase = "stopped"
    commands: deque[Perform | PerformAll] | None = None
    claimed: tuple[float, EndedAttempt] | None = None
    forgetting: bool = False
    oldest_at: float | None = None
    changed: bool = False
    counted: Sums | None = None

    def __repr__(self) -> str:
        return f"QueueEntry(id={self.id}, phase={self.phase!r})"


class Directory:
    """All queues by key and by id. A known key without a Sequencer costs less than 1 kB."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_key: dict[RoutingKey, QueueEntry] = {}
        self._by_id: dict[QueueId, QueueEntry] = {}
        self._active: dict[QueueId, QueueEntry] = {}
        self._last = 0
        self.figures = Figures()

    def add(self, entry: QueueEntry) -> QueueEntry:
        """Make a queue known."""
        self._by_id[entry.id] = self._by_key[entry.routing_key] = entry
        self._last = max(self._last, entry.id)
        return entry

    def by_key(self, key: RoutingKey) -> QueueEntry | None:
        """The queue of a routing key."""
        return self._by_key.get(key)

    def by_id(self, queue: QueueId) -> QueueEntry:
        """The queue with this id. Raises KeyError once it is forgotten."""
        return self._by_id[queue]

    def get(self, queue: QueueId) -> QueueEntry | None:
        """The queue with this id, or None once it is forgotten."""
        return self._by_id.get(queue)

    def entries(self, offset: int = 0, limit: int | None = None) -> list[QueueEntry]:
        """All queues, or so many behind the first ones, in the order of their creation."""
        with self._lock:
            end = None if limit is None else offset + limit
            return list(islice(self._by_id.values(), offset, end))

    def newer_than(self, queue: int) -> list[QueueEntry]:
        """The queues that were created after this one, the newest first."""
        with self._lock:
            newest = reversed(self._by_id.values())
            return list(takewhile(lambda entry: entry.id > queue, newest))

    def active(self) -> list[QueueEntry]:
        """The queues with a Sequencer or commands, to be restarted, or quarantined; others rest."""
        with self._lock:
            return list(self._active.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def active_count(self) -> int:
        """How many `active` returns."""
        return len(self._active)

    def put(self, key: RoutingKey, command: Perform | PerformAll) -> QueueEntry:
        """Leave a command for the Sequencer of this key, whether or not one runs."""
        with self._lock:
            entry = self._by_key.get(key)
            if entry is None:
                entry = self.add(self._new(key))
            if entry.commands is None:
                entry.commands = deque()
                self._active[entry.id] = entry
            entry.commands.append(command)
            return entry

    def take_commands(self, entry: QueueEntry) -> list[Perform | PerformAll]:
        """Remove all that waits for a Sequencer that does not run, to be refused."""
        with self._lock:
            commands = list(entry.commands or ())
            entry.commands = None
            if entry.phase != "quarantined":
                self._active.pop(entry.id, None)
            return commands

    def tell(self, queue: QueueId, message: Any) -> None:
        """Send a message to a queue's Sequencer. If none runs, the next one needs no message."""
        entry = self.get(queue)
        if entry is not None:
            tell(entry.sequencer, message)

    def tell_grants(self, grants: Iterable[Grant]) -> None:
        """Tell the Sequencers whose turn it is."""
        for grant in grants:
            self.tell(grant.queue, grant)

    # The life of a Sequencer

    def attach(self, entry: QueueEntry, start: Callable[[int], pykka.ActorRef[Any]]) -> None:
        """Start a Sequencer of the next incarnation."""
        with self._lock:
            entry.incarnation += 1
            if entry.commands is None:
                entry.commands = deque()
            self._active[entry.id] = entry
            self.figures.wake(entry)
            entry.sequencer = start(entry.incarnation)
            entry.phase = "running"

    def detach(self, entry: QueueEntry) -> pykka.ActorRef[Any] | None:
        """Take the queue and its commands from a Sequencer, for a successor; returns the former."""
        with self._lock:
            entry.incarnation += 1
            old, entry.sequencer, entry.phase = entry.sequencer, None, "stopped"
            self.figures.change(entry)
            waiting: deque[Perform | PerformAll] = deque()
            while entry.commands:
                waiting.append(entry.commands.popleft())
            entry.commands = waiting
            return old

    def leave(self, entry: QueueEntry, incarnation: int) -> QueueEntry | None:
        """A Sequencer stops: all that it knows is on disk. Returns the queue if commands wait.

        Nothing but a summary stays in memory. A queue that is removed from the journal goes.
        """
        with self._lock:
            if entry.incarnation != incarnation:
                return None
            entry.sequencer, entry.phase = None, "stopped"
            commands = entry.commands
            if entry.forgetting:
                self.figures.forget(entry)
                del self._by_id[entry.id], self._by_key[entry.routing_key]
                self._active.pop(entry.id, None)
                if not commands:
                    return None
                entry = self.add(self._new(entry.routing_key))
                entry.commands = commands
                self._active[entry.id] = entry
            else:
                self.figures.rest(entry)
            if commands:
                return entry
            entry.commands = None
            self._active.pop(entry.id, None)
            summarise(entry.state)
            return None

    def quarantine(self, entry: QueueEntry) -> None:
        """Its Sequencer failed too often: until the next one, the queue takes no commands."""
        entry.phase = "quarantined"
        self.figures.change(entry)

    def close(self) -> list[Perform | PerformAll]:
        """The agent has stopped: returns all commands that are left."""
        for entry in self.entries():
            entry.sequencer = None
        return [command for entry in self.active() for command in self.take_commands(entry)]

    def _new(self, key: RoutingKey) -> QueueEntry:
        queue = QueueId(self._last + 1)
        return QueueEntry(id=queue, routing_key=key, state=QueueState(queue=queue))
