"""Who is told of each transition after its commit: the log, the metrics, whoever follows live."""

from __future__ import annotations

from collections.abc import Callable

from store.records import QueueId, Record

Observer = Callable[[QueueId, Record], None]
"""Called in the journal writer's thread: it must be quick and must not raise."""


class Observers:
    """Passes each committed record on to its observers, which may come and go at any time.

    Give it to `ActorSystem` as `observe`. The tuple is replaced, never changed, so that the writer
    needs no lock while it goes through it.
    """

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def __call__(self, queue: QueueId, record: Record) -> None:
        for observer in self._observers:
            observer(queue, record)

    def add(self, observer: Observer) -> None:
        """Tell `observer` of what is committed from now on. Call from one thread only."""
        self._observers = (*self._observers, observer)

    def remove(self, observer: Observer) -> None:
        """Tell `observer` nothing more; harmless when repeated. Same thread as `add`."""
        self._observers = tuple(known for known in self._observers if known is not observer)
