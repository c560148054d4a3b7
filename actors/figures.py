"""Sums over all queues, and the queues that are worth a look: kept, not counted anew each time.

A Sequencer only says that its queue has changed. A question brings the figures up to date: it
counts each queue that has changed since then once, whatever the number of idle ones.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from actors.core.state import Counters, QueueState
from store.records import QueueId

if TYPE_CHECKING:
    from actors.directory import QueueEntry

_AT_ONCE = 500


class Sums(NamedTuple):
    """Of one queue or of all; `died` are all that ever became dead letters, `dead` those now."""

    accepted: int = 0
    delivered: int = 0
    discarded: int = 0
    died: int = 0
    waiting: int = 0
    dead: int = 0


class Figures:
    """Of all queues, also those that are forgotten. May be asked from any thread.

    What was counted of a queue is replaced when the queue is counted again, so it does not matter
    how often that happens, nor which Sequencer's state is the right one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed: deque[QueueEntry] = deque()
        self._sums = Sums()
        self._notable: dict[QueueId, QueueEntry] = {}

    def begin(self, entries: Sequence[QueueEntry], forgotten: Counters) -> None:
        """Count what the start has read, and what is left of queues that were forgotten."""
        figures = [_of(entry.state) for entry in entries]
        figures.append(Sums(*_ever(forgotten)))
        self._sums = Sums(*map(sum, zip(*figures, strict=True)))
        for entry in entries:
            self._note(entry)

    def change(self, entry: QueueEntry) -> None:
        """A queue has changed; costs next to nothing."""
        if not entry.changed:
            entry.changed = True
            self._changed.append(entry)

    def wake(self, entry: QueueEntry) -> None:
        """A queue's state is going to change: until `rest`, what was counted of it is kept."""
        with self._lock:
            if entry.counted is None:
                entry.counted = _of(entry.state)
        self.change(entry)

    def rest(self, entry: QueueEntry) -> None:
        """A queue's state does not change any more until `wake`."""
        with self._lock:
            self._count(entry)
            entry.counted = None

    def forget(self, entry: QueueEntry) -> None:
        """A queue is gone; what was counted of it stays in the sums."""
        self.rest(entry)
        with self._lock:
            self._note(entry)

    def sums(self) -> Sums:
        """Over all queues."""
        self._settle()
        return self._sums

    def notable(self) -> list[QueueEntry]:
        """The queues that differ from an idle one, see `is_notable`; in no order."""
        self._settle()
        with self._lock:
            return list(self._notable.values())

    def _settle(self) -> None:
        while self._changed:
            with self._lock:  # not for long: Sequencers that stop wait for it
                for _ in range(min(_AT_ONCE, len(self._changed))):
                    entry = self._changed.popleft()
                    entry.changed = False  # first: what changes from here on is counted again
                    self._count(entry)

    def _count(self, entry: QueueEntry) -> None:
        if entry.counted is not None:
            now = _of(entry.state)
            self._sums = Sums(
                *(total + n - o for total, n, o in zip(self._sums, now, entry.counted, strict=True))
            )
            entry.counted = now
        self._note(entry)

    def _note(self, entry: QueueEntry) -> None:
        is_gone = entry.forgetting and entry.counted is None
        if is_notable(entry) and not is_gone:
            self._notable[entry.id] = entry
        else:
            self._notable.pop(entry.id, None)


def _ever(counters: Counters) -> tuple[int, int, int, int]:
    return counters.accepted, counters.delivered, counters.discarded, counters.dead_lettered


def _of(state: QueueState) -> Sums:
    return Sums(*_ever(state.counters), len(state.waiting), len(state.dead))


def is_notable(entry: QueueEntry) -> bool:
    """Whether something waits, has died, is held, paced or quarantined."""
    state = entry.state
    return bool(
        state.waiting
        or state.dead
        or state.hold is not None
        or state.pace.interval
        or entry.phase == "quarantined"
    )
