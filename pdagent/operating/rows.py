"""How an event is shown in JSON: by the agent's HTTP API, and by `queue list` and `queue show`."""

from __future__ import annotations

import msgspec

from actors.core.dead_letters import DeadLetter
from actors.core.waiting import WaitingEvent
from pdagent.events import summary_of
from pdagent.occurrence import utc_timestamp
from store.port import Journal
from store.records import EventAccepted, EventId

WAITING = ("queued", "in_flight", "deferred")
DEAD = "dead_lettered"
ENDED = ("delivered", "discarded")
STATES = (*WAITING, DEAD, *ENDED)

Json = dict[str, object]
"""A JSON object in an answer."""


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    """One event. Times are ISO 8601 in UTC.

    `queue` is the configured name of its routing key, or the masked key. `attempts` is None, and
    `last_error` may be, for an event that has ended where telling would mean to read much: `queue
    show` tells. A dead
    letter is `superseded_by` the later event of its alert after which it is retried no more.
    """

    id: str = ""
    state: str = ""
    queue: str = ""
    kind: str = ""
    dedup_key: str = ""
    summary: str = ""
    accepted_at: str | None = None
    attempts: int | None = 0
    next_attempt_at: str | None = None
    last_error: str | None = None
    superseded_by: str | None = None


def timestamp(seconds: float | None) -> str | None:
    """ISO 8601 in UTC with milliseconds, or None."""
    return None if seconds is None else utc_timestamp(seconds)


def kept_row(event: WaitingEvent | DeadLetter, queue: str, journal: Journal) -> EventRow:
    """An event that has not ended. Raises `store.errors.JournalError` if it can't be read."""
    waiting = event if isinstance(event, WaitingEvent) else None
    letter = event if isinstance(event, DeadLetter) else None
    return EventRow(
        id=event.id,
        state=waiting.state if waiting else DEAD,
        queue=queue,
        kind=event.kind,
        dedup_key=event.dedup_key,
        summary=summary(journal, event.id),
        accepted_at=timestamp(event.accepted_at),
        attempts=event.attempts,
        next_attempt_at=timestamp(waiting.next_attempt_at if waiting else None),
        last_error=event.last_error if isinstance(event, WaitingEvent) else event.error,
        superseded_by=letter.superseded_by if letter else None,
    )


def ended_row(
    accepted: EventAccepted,
    state: str,
    queue: str,
    attempts: int | None,
    last_error: str | None,
) -> EventRow:
    """An event that was delivered or discarded."""
    return EventRow(
        id=accepted.event,
        state=state,
        queue=queue,
        kind=accepted.kind,
        dedup_key=accepted.dedup_key,
        summary=summary_of(accepted.kind, accepted.body),
        accepted_at=timestamp(accepted.at),
        attempts=attempts,
        last_error=last_error,
    )


def summary(journal: Journal, event: EventId) -> str:
    """What an event says for people; empty while its acceptance isn't on disk yet."""
    entry = journal.accepted(event)
    return "" if entry is None else summary_of(entry.record.kind, entry.record.body)
