"""Finding an event by its id, which may be shortened as long as one event alone begins so."""

from __future__ import annotations

import msgspec

from store.port import Journal
from store.records import EventAccepted, EventId, QueueId

_CANDIDATES = 10


class KnownEvent(msgspec.Struct, frozen=True):
    """An event of the journal, and the queue that it belongs to."""

    queue: QueueId
    accepted: EventAccepted


class NoSuchEvent(Exception):
    """No event, or more than one, is meant. The text says which, and what to do."""


class UnknownId(NoSuchEvent):
    """No event that the journal still knows begins like this."""

    def __init__(self, given: str) -> None:
        super().__init__(
            f"no event has an id that begins with {given!r}: 'pagerduty-agent queue list' shows "
            "what there is (events are forgotten some time after their end, see 'retention')"
        )


class AmbiguousId(NoSuchEvent):
    """Several events begin like this; `candidates` are some of their ids."""

    def __init__(self, given: str, candidates: list[EventId]) -> None:
        self.candidates = candidates[:_CANDIDATES]
        more = " and more" if len(candidates) > _CANDIDATES else ""
        super().__init__(
            f"{given!r} is the beginning of several ids, give more of the one you mean: "
            f"{', '.join(self.candidates)}{more}"
        )


def find(journal: Journal, given: str) -> KnownEvent:
    """The event that `given`, its id or the beginning of it, means.

    Raises `UnknownId`, `AmbiguousId` or `store.errors.JournalError`.
    """
    wanted = given.strip().lower()
    if not wanted:
        raise UnknownId(given)
    known = _known(journal, EventId(wanted))
    if known is None:
        found = journal.find_events(wanted, _CANDIDATES + 1)
        if len(found) > 1:
            raise AmbiguousId(given, found)
        known = _known(journal, found[0]) if found else None
    if known is None:
        raise UnknownId(given)
    return known


def _known(journal: Journal, event: EventId) -> KnownEvent | None:
    entry = journal.accepted(event)
    if entry is None or not isinstance(entry.record, EventAccepted):
        return None
    return KnownEvent(entry.queue, entry.record)
