"""Reads each message of the log when the engine stores it: what is promised about the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from store import codec
from store.log import Message
from store.records import ActorRestarted, Entry, EventId, QueueId
from store.replication import Assembly, Committed, Removed, TakenOver, part_in
from tests.simulation.witness import Witness, require


class LogWitness(Witness):
    """All queues and events as the log tells them. `takeovers` are the owners, one after the other.

    `repeatable` counts for each event how often its attempt was cut off by the end of an owner or
    a failed commit: so often it may be delivered again.
    """

    def __init__(self, max_queue_length: int, note: Callable[[Callable[[], str]], None]) -> None:
        super().__init__(max_queue_length)
        self.takeovers: list[str] = []
        self.repeatable: dict[EventId, int] = {}
        self.parts = 0
        self.removals = 0
        self._note = note
        self._writer = b""
        self._assembly = Assembly()
        self._entries: dict[tuple[QueueId, int], Entry] = {}
        self._newest = 0

    def stored(self, seq: int, data: bytes) -> None:
        """The engine has just stored this message. Raises `Violation`."""
        part = part_in(Message(seq, data))
        whole = self._assembly.add(seq, part)
        self.parts += part.part > 0
        change: Any = None if whole is None else whole.change
        self._note(lambda: f"log: message {seq}: {type(change).__name__}")
        if isinstance(change, TakenOver):
            self._writer = part.writer
            self.takeovers.append(change.owner)
            return
        require(part.writer == self._writer, f"message {seq} is of an owner that was fenced")
        match change:
            case Committed():
                self._committed(change)
            case Removed():
                self.removals += 1
                gone = [(queue, n) for queue, numbers in change.entries for n in numbers]
                self.removed(self._entries.pop(place) for place in gone if place in self._entries)

    def _committed(self, change: Committed) -> None:
        require(change.after == self._newest, f"records behind {change.after} are written twice")
        self._newest = change.newest
        entries = [entry for row in change.rows for entry in codec.entries_in(*row)]
        for entry in sorted(entries, key=lambda entry: entry.seq):
            self._entries[entry.queue, entry.seq] = entry
            if isinstance(entry.record, ActorRestarted):
                event = self.line(entry.queue).in_flight
                if event is not None:
                    self.repeatable[event] = self.repeatable.get(event, 0) + 1
            self._note(lambda entry=entry: f"log: queue {entry.queue}: {entry.record}")
            self.see(entry.queue, entry.record)
        for queue, _, figures in change.keys:
            if figures is not None:
                self.forgotten(queue)
