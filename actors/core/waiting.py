"""The events that wait in one queue, in as little memory as possible: there can be a million."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

import msgspec

from store.records import EventAccepted, EventId, EventKind

LONGEST_GAP = 3_600.0
"""Seconds that count at most between two failed attempts: `Retry-After` asks for no more. A clock
that was set, or an agent that did not run, must not end an event."""

EventState = Literal["queued", "in_flight", "deferred"]

_SHORT = 64
_MOST_SHARED = 10_000


class Trials(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How the attempts at an event went. Only the head of a queue is tried: others share one.

    `strikes` are the attempts that count against the event, `attempts` all of them, also one that
    is under way. PagerDuty has failed on it for `failing_for` seconds until `failed_at`, None if it
    could not be reached since. `superseded_by` is that of the dead letter it was, should it become
    one again.
    """

    state: EventState = "queued"
    attempts: int = 0
    strikes: int = 0
    failing_for: float = 0.0
    failed_at: float | None = None
    next_attempt_at: float | None = None
    last_error: str | None = None
    superseded_by: EventId | None = None


UNTRIED = Trials()
FIRST_ATTEMPT = Trials(state="in_flight", attempts=1)
"""Those of nearly all events that are tried."""


class Sort(msgspec.Struct, frozen=True, gc=False):
    """What an event has in common with many others, which share it (`sort_of`)."""

    kind: EventKind
    action: str
    room: int


@lru_cache(_MOST_SHARED)
def sort_of(kind: EventKind, action: str, room: int) -> Sort:
    """The one that all events like this share."""
    return Sort(kind, action, room)


class WaitingEvent(msgspec.Struct, frozen=True, gc=False):
    """An accepted event that is neither delivered nor given up.

    It never changes, another one takes its place: so a snapshot can be made of references to all of
    them, while the queue goes on.
    """

    id: EventId
    position: int
    sort: Sort
    dedup_key: str
    accepted_at: float
    trials: Trials = UNTRIED

    @classmethod
    def accepted(cls, record: EventAccepted) -> WaitingEvent:
        """The event of this record, not tried yet."""
        id_, dedup_key = record.event, record.dedup_key
        sort = sort_of(record.kind, record.action, record.room)
        return cls(id_, record.position, sort, _kept_once(id_, dedup_key), record.at)

    def after(self, trials: Trials, *, room: int = 0) -> WaitingEvent:
        """The event with other trials, whose records have taken so much more room."""
        sort = self.sort
        if room:
            sort = sort_of(sort.kind, sort.action, sort.room + room)
        return WaitingEvent(self.id, self.position, sort, self.dedup_key, self.accepted_at, trials)

    @property
    def kind(self) -> EventKind:
        """As in `EventAccepted`."""
        return self.sort.kind

    @property
    def action(self) -> str:
        """As in `EventAccepted`."""
        return self.sort.action

    @property
    def room(self) -> int:
        """About how many bytes of the journal it takes, with the records of its attempts."""
        return self.sort.room

    @property
    def state(self) -> EventState:
        """Only the head of a queue is ever another than `queued`."""
        return self.trials.state

    @property
    def attempts(self) -> int:
        """All of them, also one that is under way."""
        return self.trials.attempts

    @property
    def next_attempt_at(self) -> float | None:
        """In seconds since 1970; None unless it is deferred."""
        return self.trials.next_attempt_at

    @property
    def last_error(self) -> str | None:
        """What went wrong the last time that something did."""
        return self.trials.last_error

    def failing_for_until(self, now: float) -> float:
        """For how many seconds PagerDuty has failed on it if it still does at `now`."""
        trials = self.trials
        gap = 0.0 if trials.failed_at is None else now - trials.failed_at
        return trials.failing_for + min(max(gap, 0.0), LONGEST_GAP)


def _kept_once(id_: EventId, dedup_key: str) -> str:
    """The dedup key: many events have none but their id, of which one copy is enough."""
    return id_ if dedup_key == id_ else dedup_key


class Waiting(dict[EventId, WaitingEvent]):
    """By id, in the order of delivery. `add`, `change` and `take` alone change it.

    A dict finds its first entry by going over all that were removed before it: a long one has its
    order in a list of its own. (An OrderedDict needs 80 bytes more for each event.)
    """

    __slots__ = ("_order",)

    def __init__(self, events: Iterable[WaitingEvent] = ()) -> None:
        super().__init__({event.id: event for event in events})
        # It begins with the head. Behind it may be events that were taken meanwhile.
        self._order: deque[WaitingEvent] | None = None
        if len(self) > _SHORT:
            self._order = deque(self.values())

    def head(self) -> WaitingEvent | None:
        """The event that is delivered next, or being delivered; None if none waits.

        Raises RuntimeError or a LookupError if another thread changes something right now.
        """
        if not self:
            return None
        order = self._order
        return next(iter(self.values())) if order is None else self[order[0].id]

    def add(self, event: WaitingEvent) -> None:
        """Put an event at the end."""
        self[event.id] = event
        if self._order is not None:
            self._order.append(event)
        elif len(self) > _SHORT:
            self._order = deque(self.values())

    def change(self, event: WaitingEvent) -> None:
        """Replace the event with this id; KeyError if there is none."""
        if event.id not in self:
            raise KeyError(event.id)
        self[event.id] = event

    def take(self, event: EventId) -> WaitingEvent:
        """Remove and return an event; KeyError if it is not there."""
        taken, order = self.pop(event), self._order
        if order is None:
            return taken
        if not self:
            self._order = None
            self.clear()  # a dict that has been long remains so
        elif len(order) > 2 * len(self) + _SHORT:
            self._order = deque(self.values())
        else:
            while not self._is_in(order[0]):
                order.popleft()
        return taken

    def _is_in(self, event: WaitingEvent) -> bool:
        # The same id may have come again, further behind.
        known = self.get(event.id)
        return known is not None and known.position == event.position


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A waiting event as snapshots have it, of all versions."""

    id: EventId
    position: int
    kind: EventKind
    action: str
    dedup_key: str
    accepted_at: float
    room: int = 0
    state: EventState = "queued"
    attempts: int = 0
    strikes: int = 0
    failing_for: float = 0.0
    failed_at: float | None = None
    next_attempt_at: float | None = None
    last_error: str | None = None
    superseded_by: EventId | None = None


def stored(event: WaitingEvent) -> StoredEvent:
    """The event for a snapshot."""
    trials = event.trials
    return StoredEvent(
        id=event.id,
        position=event.position,
        kind=event.kind,
        action=event.action,
        dedup_key=event.dedup_key,
        accepted_at=event.accepted_at,
        room=event.room,
        state=trials.state,
        attempts=trials.attempts,
        strikes=trials.strikes,
        failing_for=trials.failing_for,
        failed_at=trials.failed_at,
        next_attempt_at=trials.next_attempt_at,
        last_error=trials.last_error,
        superseded_by=trials.superseded_by,
    )


def restored(events: Iterable[StoredEvent]) -> Waiting:
    """The inverse of `stored`, for all events of a queue in their order."""
    return Waiting(map(_restored, events))


def _restored(event: StoredEvent) -> WaitingEvent:
    trials = UNTRIED
    if event.attempts or event.last_error is not None or event.next_attempt_at is not None:
        trials = Trials(**{name: getattr(event, name) for name in Trials.__struct_fields__})
    return WaitingEvent(
        event.id,
        event.position,
        sort_of(event.kind, event.action, event.room),
        _kept_once(event.id, event.dedup_key),
        event.accepted_at,
        trials,
    )
