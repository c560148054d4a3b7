"""Tests of the core read: given these records, when this command comes, then these records."""

from __future__ import annotations

from typing import Any

from actors.core.commands import AcceptEvent, Command, FinishDelivery, NewEvent, Policy, Refusal
from actors.core.decide import Owed, decide, resume
from actors.core.evolve import evolve
from actors.core.state import QueueState
from actors.core.verdict import Verdict
from store.records import (
    DeliveryDeferred,
    DeliveryStarted,
    EventAccepted,
    EventDeadLettered,
    EventDelivered,
    EventId,
    QueueId,
    Record,
)

NOW = 1_000.0
QUEUE = QueueId(1)

A, B, C, D = (EventId(name) for name in "abcd")
NEXT_TO_NONE = 0.001  # a chance that makes a jittered wait short, but not nothing


def given(*records: Record) -> QueueState:
    """The state of a queue to which this has happened."""
    return after(QueueState(queue=QUEUE), *records)


def after(state: QueueState, *records: Record) -> QueueState:
    """The same queue, to which this has happened since."""
    for record in records:
        state = evolve(state, record)
    return state


def when(
    state: QueueState, command: Command, *, now: float = NOW, policy: Policy | None = None
) -> list[Record] | Refusal:
    """What is decided because of a command."""
    return decide(state, command, now, policy or Policy())


def owed(state: QueueState, *, now: float = NOW) -> Owed:
    """What the queue has to do next."""
    return resume(state, now)


# Commands


def accept(id_: EventId, **fields: Any) -> AcceptEvent:
    """A trigger with the dedup key `alert` that asks to be accepted."""
    given_fields = {"kind": "v2", "action": "trigger", "dedup_key": "alert", "body": b"{}"}
    return AcceptEvent(NewEvent(id=id_, **{**given_fields, **fields}))


def finish(
    id_: EventId, verdict: Verdict, chance: float = NEXT_TO_NONE, **known: bool
) -> FinishDelivery:
    """An attempt ended."""
    return FinishDelivery(id_, verdict, chance, **known)


# Records


def accepted(id_: EventId, position: int = 1, at: float = NOW, **fields: Any) -> EventAccepted:
    """It was accepted."""
    given_fields = {"kind": "v2", "action": "trigger", "dedup_key": "alert", "body": b"{}"}
    return EventAccepted(event=id_, position=position, at=at, **{**given_fields, **fields})


def started(id_: EventId, attempt: int = 1, at: float = NOW) -> DeliveryStarted:
    """It is on its way."""
    return DeliveryStarted(event=id_, attempt=attempt, at=at)


def delivered(id_: EventId, at: float = NOW, status: int = 202) -> EventDelivered:
    """PagerDuty has it."""
    return EventDelivered(event=id_, status=status, at=at)


def deferred(
    id_: EventId,
    reason: str = "server_error",
    *,
    at: float = NOW,
    retry_at: float = NOW,
    counts: bool | None = True,
) -> DeliveryDeferred:
    """It is to be tried again."""
    return DeliveryDeferred(
        event=id_, reason=reason, detail="", at=at, retry_at=retry_at, counts=counts
    )


def died(id_: EventId, at: float = NOW, attempt: int = 1) -> tuple[Record, Record]:
    """It was tried and refused for good."""
    letter = EventDeadLettered(event=id_, reason="http_400", detail="bad", at=at)
    return started(id_, attempt, at), letter


def went(id_: EventId, at: float = NOW, attempt: int = 1) -> tuple[Record, Record]:
    """It was tried and delivered."""
    return started(id_, attempt, at), delivered(id_, at)
