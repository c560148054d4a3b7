"""What one message to a Sequencer has led to, on its way to the JournalWriter as one append."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from actors.core.commands import Answer, Done
from actors.core.state import QueueState, encoded, picture
from actors.directory import QueueEntry
from actors.messages import UNAVAILABLE, Delivery, Reply, Write
from store.port import Append
from store.records import EventAccepted, EventId, Record

SNAPSHOT_EVERY = 1_000


class Outbox:
    """Gathers records, the answers that wait for them, and the delivery that they begin.

    `tell_writer` returns False if there is no writer: with a new one the Supervisor starts all
    Sequencers anew.
    """

    def __init__(
        self, entry: QueueEntry, incarnation: int, tell_writer: Callable[[Write], bool]
    ) -> None:
        self.records: list[Record] = []
        self.replies: list[tuple[Reply, Answer]] = []
        self.delivery: Delivery | None = None
        self.wants_snapshot = False
        self._entry = entry
        self._incarnation = incarnation
        self._tell_writer = tell_writer
        self._storing: dict[EventId, EventAccepted] = {}
        self._unsent: list[EventId] = []
        self._since_snapshot = 0
        self.wrote = False

    def recovered(self, tail: int) -> None:
        """The queue was read from the journal, with `tail` records behind its snapshot."""
        self._since_snapshot = tail

    def remember(self, records: Sequence[Record]) -> None:
        """Know accepted events by id until they are on disk, where a repeated request finds them.

        Until then not even the state need hold it: an operator may have discarded it.
        """
        for record in records:
            if isinstance(record, EventAccepted):
                self._storing[record.event] = record
                self._unsent.append(record.event)

    def storing(self, event: EventId) -> EventAccepted | None:
        """The event with this id that is being stored, if it is one that is remembered."""
        return self._storing.get(event)

    def flush(self, state: QueueState) -> None:
        """Send the writer all that has gathered, as one append."""
        snapshot = self._snapshot_if_due(state)
        if self._unsent:
            self.replies.append((self._forgetting(tuple(self._unsent)), Done()))
            self._unsent.clear()
        if self.records or self.replies or snapshot is not None:
            self._send(snapshot)

    def close(self, state: QueueState, reply: Reply, *, forget: bool) -> None:
        """Send the last write: a snapshot if there is anything new, or the queue's removal."""
        self.replies.append((reply, Done()))
        if forget:
            self._send(forget=msgspec.to_builtins(state.counters))
        else:
            self.wants_snapshot = True
            self._send(self._snapshot_if_due(state), last=True)

    def _send(
        self,
        snapshot: Iterable[bytes] | None = None,
        *,
        last: bool = False,
        forget: dict[str, int] | None = None,
    ) -> None:
        # Without a record, there is no queue in the journal, and nothing to remove later.
        names = forget is not None or (self.records and not self.wrote)
        write = Write(
            append=Append(
                queue=self._entry.id,
                records=tuple(self.records),
                routing_key=self._entry.routing_key if names else None,
                snapshot=snapshot,
                forget=forget,
            ),
            incarnation=self._incarnation,
            replies=tuple(self.replies),
            delivery=self.delivery,
            last=last or forget is not None,
        )
        if not self._tell_writer(write):
            for reply, _ in self.replies:
                reply(UNAVAILABLE)
        self.wrote = self.wrote or bool(self.records)
        self.records.clear()
        self.replies.clear()
        self.delivery = None

    def _forgetting(self, events: tuple[EventId, ...]) -> Reply:
        """To be called when these are on disk, or never will be."""

        def forget(answer: Answer) -> None:
            for event in events:
                self._storing.pop(event, None)

        return forget

    def _snapshot_if_due(self, state: QueueState) -> Iterable[bytes] | None:
        """Taken only here: it includes all records up to and including those of its append.

        What is copied here are references; the JournalWriter makes bytes of them.
        """
        self._since_snapshot += len(self.records)
        wanted, self.wants_snapshot = self.wants_snapshot, False
        size = len(state.waiting) + len(state.dead) + len(state.alerts)
        if self._since_snapshot < (1 if wanted else max(SNAPSHOT_EVERY, size)):
            return None
        self._since_snapshot = 0
        return encoded(picture(state))
