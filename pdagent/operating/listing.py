"""Pages of events: dead letters first, then what waits, then (from the journal) what has ended.

Reads the queues' live states from any thread, a slice at a time, each in one step of the
interpreter: nothing is locked, and a page costs what it shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Literal, Protocol, TypeVar

import msgspec

from actors.core.evolve import error_of
from actors.directory import QueueEntry
from pdagent.operating.names import QueueNames
from pdagent.operating.reading import first, steady
from pdagent.operating.rows import (
    DEAD,
    ENDED,
    WAITING,
    EventRow,
    ended_row,
    kept_row,
)
from store.port import Journal
from store.records import (
    ActorRestarted,
    DeliveryDeferred,
    DeliveryStarted,
    Entry,
    EventAccepted,
    EventDeadLettered,
    EventDelivered,
    EventDiscarded,
    EventId,
)

# What one page may read of the journal, in records: in search of events that have ended, in search
# of the last attempt of one of them, and of all of them.
_MOST_READ = 10_000
_MOST_READ_FOR_ATTEMPTS = 500
_MOST_READ_FOR_ALL_ATTEMPTS = 5_000

MOST_DIGITS = 18
"""Of a number in a cursor: a slice can't take all that have more, and no journal gets so far."""

Section = Literal["dead", "waiting", "ended"]
_SECTIONS: tuple[Section, ...] = ("dead", "waiting", "ended")


class _Placed(Protocol):
    @property
    def position(self) -> int: ...


_Event = TypeVar("_Event", bound=_Placed)


class BadCursor(ValueError):
    """This is not the `next` of an earlier page."""


class Cursor(msgspec.Struct, frozen=True, order=True):
    """Where a page ended: a place in a queue or, where `queue` is 0, in the journal."""

    section: int
    queue: int
    position: int

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """The inverse of `str`. Raises `BadCursor`."""
        parts = text.split(".")
        if len(parts) != 3 or not all(
            p.isascii() and p.isdigit() and len(p) <= MOST_DIGITS for p in parts
        ):
            raise BadCursor(text)
        cursor = cls(*map(int, parts))
        if cursor.section >= len(_SECTIONS):
            raise BadCursor(text)
        return cursor

    def __str__(self) -> str:
        return f"{self.section}.{self.queue}.{self.position}"


class ListingPage(msgspec.Struct, frozen=True):
    """Events, and where the next page begins; None at the end.

    Of events that have ended, a page may hold fewer than asked for and not be the last.
    """

    events: list[EventRow]
    next: str | None


Found = tuple[Cursor, Callable[[], EventRow] | None]
"""A place and the event there; None where reading stopped before one was found."""


class Listing:
    """Lists events of `queues` in one of `states` (see `rows.STATES`).

    What has ended is looked for in `ended_in`: idle queues have nothing else.
    """

    def __init__(
        self,
        journal: Journal,
        names: QueueNames,
        queues: Sequence[QueueEntry],
        states: Iterable[str],
        ended_in: Sequence[QueueEntry] | None = None,
    ) -> None:
        self._journal = journal
        self._names = names
        self._queues = sorted(queues, key=lambda entry: entry.id)
        self._ended_in = self._queues if ended_in is None else ended_in
        self._states = frozenset(states)
        self._may_read = 0

    def page(self, limit: int, after: Cursor | None = None) -> ListingPage:
        """At most `limit` events behind `after`. Raises `store.errors.JournalError`."""
        self._may_read = _MOST_READ_FOR_ALL_ATTEMPTS
        rows: list[EventRow] = []
        last: Cursor | None = None
        for cursor, row in self._found(limit + 1, after or Cursor(0, 0, 0)):
            if row is None:
                return ListingPage(rows, str(cursor))
            if len(rows) == limit:
                return ListingPage(rows, str(last))
            rows.append(row())
            last = cursor
        return ListingPage(rows, None)

    def _found(self, limit: int, after: Cursor) -> Iterator[Found]:
        for number in range(after.section, len(_SECTIONS)):
            place = after if number == after.section else Cursor(number, 0, 0)
            match _SECTIONS[number]:
                case "dead" if DEAD in self._states:
                    yield from self._dead(limit, place)
                case "waiting" if self._states.intersection(WAITING):
                    yield from self._waiting(limit, place)
                case "ended" if self._states.intersection(ENDED):
                    yield from self._ended(place)

    def _dead(self, limit: int, after: Cursor) -> Iterator[Found]:
        for entry, position in self._from(after):
            name = self._names.of(entry.routing_key)
            for letter in _beyond(entry.state.dead, position, limit):
                cursor = Cursor(after.section, entry.id, letter.position)
                yield cursor, partial(kept_row, letter, name, self._journal)

    def _waiting(self, limit: int, after: Cursor) -> Iterator[Found]:
        # Only the head of a queue is ever tried: the others are all `queued`.
        most = limit + 1 if "queued" in self._states else 1
        for entry, position in self._from(after):
            name = self._names.of(entry.routing_key)
            for event in _beyond(entry.state.waiting, position, most):
                if event.state in self._states:
                    cursor = Cursor(after.section, entry.id, event.position)
                    yield cursor, partial(kept_row, event, name, self._journal)

    def _from(self, after: Cursor) -> Iterator[tuple[QueueEntry, int]]:
        """The queues from the one of a cursor on, each with the position to begin behind."""
        for entry in self._queues:
            if entry.id >= after.queue:
                yield entry, after.position if entry.id == after.queue else 0

    def _ended(self, after: Cursor) -> Iterator[Found]:
        """The latest first."""
        keys = {entry.id: entry.routing_key for entry in self._ended_in}
        only = self._ended_in[0].id if len(keys) == 1 else None
        for count, entry in enumerate(self._journal.backwards(after.position or None, only), 1):
            cursor = Cursor(after.section, 0, entry.seq)
            match entry.record:
                case EventDelivered(event=event):
                    state = "delivered"
                case EventDiscarded(event=event):
                    state = "discarded"
                case _:
                    state = ""
            if state in self._states and entry.queue in keys:
                accepted = self._journal.accepted(event)
                if accepted is not None:
                    name = self._names.of(keys[entry.queue])
                    yield cursor, partial(self._ended_row, accepted.record, state, name, entry)
            if count == _MOST_READ:
                yield cursor, None
                return

    def _ended_row(self, accepted: EventAccepted, state: str, name: str, end: Entry) -> EventRow:
        return ended_row(accepted, state, name, *self._attempts(end, accepted.event))

    def _attempts(self, end: Entry, event: EventId) -> tuple[int | None, str | None]:
        """How often an event was tried, and what went wrong the last time it did."""
        attempts = error = restarted = None
        earlier = self._journal.backwards(end.seq, end.queue)
        for entry in islice(earlier, min(_MOST_READ_FOR_ATTEMPTS, self._may_read)):
            self._may_read -= 1
            match entry.record:
                case ActorRestarted() as restart:
                    # It cut short what had started before, unless that had ended.
                    restarted = error_of(restart)
                case DeliveryStarted(event=tried) if tried != event:
                    restarted = None
                case DeliveryStarted(attempt=attempt):
                    attempts, error = attempts or attempt, error or restarted
                    if error or attempt == 1:
                        break
                case DeliveryDeferred(event=tried) | EventDeadLettered(event=tried) as failed:
                    if tried == event:
                        error = error or error_of(failed)
                        if attempts:
                            break
                case EventAccepted(event=accepted) if accepted == event:
                    return attempts or 0, error
        return attempts, error


def _beyond(events: Mapping[EventId, _Event], position: int, limit: int) -> list[_Event]:
    """At most `limit` events with a higher position; they are in the order of their positions."""
    head = first(events, 1)
    if not head:
        return []
    passed = max(0, position - head[0].position + 1)
    found = steady(lambda: list(islice(events.values(), passed, passed + limit)))
    if found and found[0].position == position + 1:
        return found  # nothing is missing in front of it
    return [event for event in first(events, passed + limit) if event.position > position][:limit]
