"""Finds an event by a part of its id, and reads its whole life from the journal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from actors.core.dead_letters import DeadLetter
from actors.core.evolve import evolve
from actors.core.state import QueueState
from pdagent.events import with_routing_key
from pdagent.masking import mask
from pdagent.operating.rows import EventRow, Json, ended_row, kept_row, timestamp
from store.port import Journal
from store.records import (
    AcceptedEntry,
    ActorRestarted,
    Entry,
    EventAccepted,
    EventDeadLettered,
    EventDelivered,
    EventId,
    JobReport,
    QueueHeld,
    QueueReleased,
    Record,
    RoutingKey,
)

_TIMES = ("at", "retry_at", "occurred_at")
_CANDIDATES = 10
_WHOLE_ID = 36
_NOT_SHOWN = ("event", "body", "fingerprint")


class NoSuchEvent(Exception):
    """No event, or more than one, is meant. The text says which, and what to do."""


class UnknownId(NoSuchEvent):
    """No event that the journal still knows has this in its id."""

    def __init__(self, given: str) -> None:
        super().__init__(
            f"no event has an id with {given!r} in it: 'pagerduty-agent queue list' shows "
            "what there is (events are forgotten some time after their end, see 'retention')"
        )


class AmbiguousId(NoSuchEvent):
    """Several events are meant; `candidates` are some of their ids."""

    def __init__(self, given: str, candidates: list[EventId]) -> None:
        self.candidates = candidates[:_CANDIDATES]
        more = " and more" if len(candidates) > _CANDIDATES else ""
        super().__init__(
            f"{given!r} is part of several ids, give more of the one you mean, such as its end: "
            f"{', '.join(self.candidates)}{more}"
        )


def find(journal: Journal, given: str) -> AcceptedEntry:
    """The event that `given`, its id or a part of it that no other id has, means.

    If any ids begin with `given`, those that have it elsewhere don't count.
    Raises `UnknownId`, `AmbiguousId` or `store.errors.JournalError`.
    """
    wanted = given.strip().lower()
    if not wanted:
        raise UnknownId(given)
    known = journal.accepted(EventId(wanted))
    if known is None:
        # What is as long as an id and none need not be looked for in all ids.
        found = journal.find_events(wanted, _CANDIDATES + 1) if len(wanted) < _WHOLE_ID else []
        if len(found) > 1:
            raise AmbiguousId(given, found)
        known = journal.accepted(found[0]) if found else None
    if known is None:
        raise UnknownId(given)
    return known


class Life(msgspec.Struct, frozen=True):
    """How an event stands, what it says (its key masked), and the records that led there."""

    row: EventRow
    event: msgspec.Raw
    history: list[Json]

    def as_json(self) -> Json:
        """The fields of the row, then `event` and `history`."""
        fields: Json = msgspec.structs.asdict(self.row)
        return {**fields, "event": self.event, "history": self.history}


def life_of(
    journal: Journal,
    event: AcceptedEntry,
    *,
    key: RoutingKey,
    name: str,
    letter: DeadLetter | None,
) -> Life | None:
    """The life of an event of the queue with `key`, which goes by `name`.

    `letter` is given if the event is a dead letter now: then nothing is read beyond its death.
    None if the event has just been removed. Raises `store.errors.JournalError`.
    """
    accepted, id_ = event.record, event.record.event
    # Folded by the same function as the whole queue, only without its other events.
    state = QueueState(queue=event.queue)
    history: list[Json] = []
    attempts: int | None = None
    last_error: str | None = None
    last: Record = accepted
    for last in _told(_until_death(journal.history(id_), letter), state):
        history.append(shown(last))
        evolve(state, last)
        if waiting := state.waiting.get(id_):
            attempts, last_error = waiting.attempts, waiting.last_error
        elif dead := state.dead.get(id_):
            attempts, last_error = dead.attempts, dead.error
    if attempts is None:
        return None
    if id_ in state.waiting:
        row = kept_row(state.waiting[id_], name, journal)
    elif id_ in state.dead:
        # What came after its death is in the live letter only.
        row = kept_row(letter or state.dead[id_], name, journal)
    else:
        end = "delivered" if isinstance(last, EventDelivered) else "discarded"
        row = ended_row(accepted, end, name, attempts, last_error)
    return Life(row, body_of(accepted, key), history)


def shown(record: Record) -> Json:
    """A record as JSON: when, which, and what else it says, without id and body of the event."""
    fields: Json = {"at": timestamp(record.at), "record": type(record).__name__}
    for field in record.__struct_fields__:
        if field not in _NOT_SHOWN and field != "at":
            value = getattr(record, field)
            fields[field] = _presentable(field, value)
    return fields


def _presentable(field: str, value: object) -> object:
    if isinstance(value, JobReport):
        return {"expected_by": timestamp(value.expected.by if value.expected else None)}
    if not isinstance(value, float):
        return value
    return timestamp(value) if field in _TIMES else round(value, 4)


def _told(entries: Iterable[Entry], state: QueueState) -> Iterator[Record]:
    """The records, without those about the whole queue that meant nothing for the event."""
    for entry in entries:
        match entry.record:
            case QueueHeld() | QueueReleased() if not state.waiting:
                continue
            case ActorRestarted() if state.in_flight is None:
                continue
            case record:
                yield record


def _until_death(entries: Iterator[Entry], letter: DeadLetter | None) -> Iterator[Entry]:
    for entry in entries:
        yield entry
        record = entry.record
        if isinstance(record, EventDeadLettered) and letter and record.at == letter.died_at:
            return


def body_of(accepted: EventAccepted, key: RoutingKey) -> msgspec.Raw:
    """What was accepted, its `key` masked wherever it stands."""
    masked = mask(key)
    # Some tools repeat the key somewhere in the details.
    body = accepted.body.replace(key.encode(), masked.encode())
    return msgspec.Raw(with_routing_key(accepted.kind, body, masked))
