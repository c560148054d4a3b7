"""The commands of a queue and their answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from actors.core.verdict import Verdict
from store.records import EventAccepted, EventId, EventKind, JobReport, Record, event_of


class NewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A valid event that asks to be accepted; `body` has its key blanked.

    `idempotent` says that `id` was derived from the sender's Idempotency-Key, so that it may be
    known already; `fingerprint` is then a digest of the request, equal for a repetition.
    `occurred_at` is in seconds since 1970, not in the future, or None. A trigger with this time has
    `closing`, the resolve of its alert, for when the alert was resolved after that time.
    `passed` are the ids of the agents that have delivered it to this one, the latest first.
    `job` makes it the report of a job. `only_if_open`: it need not be delivered if the alert of its
    job is known not to be open.
    """

    id: EventId
    kind: EventKind
    action: str
    dedup_key: str
    body: bytes
    warnings: tuple[str, ...] = ()
    source: str = ""
    idempotent: bool = False
    fingerprint: bytes = b""
    occurred_at: float | None = None
    job: JobReport | None = None
    only_if_open: bool = False
    closing: NewEvent | None = None
    passed: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"NewEvent(id={self.id!r}, kind={self.kind!r}, action={self.action!r})"


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a command was not carried out, in a sentence that says what to do.

    Only `unconfirmed` leaves open whether it was: the commit failed, or takes too long.
    `retry_after` is in seconds, where waiting may help.
    """

    reason: Literal[
        "queue_full",
        "journal_full",
        "unavailable",
        "unconfirmed",
        "superseded",
        "not_found",
        "idempotency_key_reused",
        "unacknowledged",
        "refused_by_relay",
    ]
    message: str
    retry_after: int | None = None


class AcceptEvent(msgspec.Struct, frozen=True):
    """Take responsibility for an event, unless there is a `refusal` of all new ones."""

    event: NewEvent
    refusal: Refusal | None = None


class TriggerOverdue(msgspec.Struct, frozen=True):
    """Accept the alerts of jobs that have not reported a success in time."""


class StartDelivery(msgspec.Struct, frozen=True):
    """A sender is free: begin the delivery that is due."""


class FinishDelivery(msgspec.Struct, frozen=True):
    """An attempt ended. `chance` in [0, 1) is the draw for the jitter of a backoff.

    `counts` and `link_failing` are those of `store.records.DeliveryDeferred`.
    """

    event: EventId
    verdict: Verdict
    chance: float
    counts: bool = False
    link_failing: bool = False


class RetryEvents(msgspec.Struct, frozen=True):
    """Try dead letters again (at the tail) and deferred events at once; `ids` None means all.

    A dead letter that a later event has superseded is retried only with `force`. A retry of this
    single event is answered with a `Refusal` that gives the reason.
    """

    ids: Sequence[EventId] | None = None
    force: bool = False


class DiscardEvents(msgspec.Struct, frozen=True):
    """Give up waiting or dead-lettered events; one in flight can't be taken back. None: all."""

    ids: Sequence[EventId] | None
    reason: str


class ExpireDeadLetters(msgspec.Struct, frozen=True):
    """Discard dead letters that died before `before` (seconds since 1970)."""

    before: float


class LimitDeadLetters(msgspec.Struct, frozen=True):
    """In a full journal: discard the oldest, until the others take `room` bytes at most."""

    room: int


class HoldQueue(msgspec.Struct, frozen=True):
    """Accept, but don't deliver."""

    reason: str


class ReleaseQueue(msgspec.Struct, frozen=True):
    """Deliver again."""


class ResumeQueue(msgspec.Struct, frozen=True):
    """The queue was just recovered from the journal, and no sender is delivering for it."""

    reason: str


Command = (
    AcceptEvent
    | TriggerOverdue
    | StartDelivery
    | FinishDelivery
    | RetryEvents
    | DiscardEvents
    | ExpireDeadLetters
    | LimitDeadLetters
    | HoldQueue
    | ReleaseQueue
    | ResumeQueue
)


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The promise to deliver: sent once the event is on disk; `repeated`: it was so before."""

    event: EventId
    dedup_key: str
    warnings: tuple[str, ...] = ()
    repeated: bool = False


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """An operator's command was carried out and is on disk; `events` were concerned."""

    events: tuple[EventId, ...] = ()
    refused: tuple[Refusal, ...] = ()


class Answers(msgspec.Struct, frozen=True):
    """The answers to several commands of one request, in their order."""

    each: tuple[Receipt | Refusal | Done, ...]


Answer = Receipt | Refusal | Done | Answers


def answer(command: Command, records: Sequence[Record]) -> Receipt | Done:
    """What a command is answered that has led to these records."""
    match command:
        case AcceptEvent(event=event):
            accepted = records[0] if records else None
            warnings = (accepted if isinstance(accepted, EventAccepted) else event).warnings
            return Receipt(event=event.id, dedup_key=event.dedup_key, warnings=warnings)
        case RetryEvents() | DiscardEvents():
            ids = (event_of(record) for record in records)
            return Done(events=tuple(id_ for id_ in ids if id_ is not None))
        case _:
            return Done()


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one queue: how many events may wait, and when one is given up.

    That is after `max_attempts` attempts that count, over at least `least_failing` seconds, or
    after `give_up_after` seconds of failures (`math.inf`: never).
    Its events may fill half of the journal, which takes `max_journal` bytes.
    """

    max_queue_length: int = 100_000
    max_journal: int = 1 << 30
    max_attempts: int = 60
    least_failing: float = 3_600.0
    give_up_after: float = 86_400.0
