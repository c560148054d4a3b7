"""The only way in which a queue's state changes: one record at a time, live and in replay."""

from __future__ import annotations

from typing import assert_never

from actors.core.dead_letters import DeadLetter
from actors.core.state import ATTEMPTS_KEPT, QueueState, WaitingEvent
from actors.core.verdict import NOT_AT_PAGERDUTY
from store.records import (
    ActorRestarted,
    DeliveryDeferred,
    DeliveryStarted,
    EventAccepted,
    EventDeadLettered,
    EventDelivered,
    EventDiscarded,
    EventId,
    EventRetried,
    QueueHeld,
    QueueReleased,
    Record,
)

# Failures that one poison event could cause: those that may lead to giving it up.
MAYBE_THE_EVENT = ("server_error", "no_answer", "not_understood")

_ROOM_OF_ATTEMPT = 300


def evolve(state: QueueState, record: Record) -> QueueState:
    """Apply one record. The given state is changed in place and returned; don't keep the old."""
    match record:
        case EventAccepted():
            state.waiting[record.event] = WaitingEvent(
                id=record.event,
                position=record.position,
                kind=record.kind,
                action=record.action,
                dedup_key=record.dedup_key,
                accepted_at=record.at,
                room=record.room,
            )
            state.waiting_room += record.room
            if (record.job is not None or state.jobs) and not _is_late(state, record):
                state.jobs.note(record)
            if record.occurred_at is not None or state.alerts:
                state.alerts.note(record)
            state.next_position = record.position + 1
            state.counters.accepted += 1
        case DeliveryStarted():
            event = state.waiting[record.event]
            event.state = "in_flight"
            event.attempts = record.attempt
            if record.attempt <= 2 * ATTEMPTS_KEPT:
                event.room += _ROOM_OF_ATTEMPT
                state.waiting_room += _ROOM_OF_ATTEMPT
            event.next_attempt_at = None
            state.in_flight = record.event
            _end_wait(state)
            state.last_started_at = record.at
            state.counters.started += 1
        case DeliveryDeferred():
            _defer(state, record)
        case EventDelivered():
            event = _take(state, record.event)
            _succeed(state, record.at)
            state.dead.supersede(event.action, event.dedup_key, event.id)
            state.counters.delivered += 1
        case EventDeadLettered():
            event = _take(state, record.event)
            error = error_of(record)
            state.dead.add(
                DeadLetter(
                    id=event.id,
                    position=event.position,
                    kind=event.kind,
                    action=event.action,
                    dedup_key=event.dedup_key,
                    accepted_at=event.accepted_at,
                    died_at=record.at,
                    attempts=event.attempts,
                    error=error,
                    room=event.room,
                    superseded_by=event.superseded_by,
                )
            )
            state.in_flight = None
            state.failures = 0
            _note_error(state, error, record.at)
            state.counters.dead_lettered += 1
        case EventRetried():
            _requeue(state, record)
        case EventDiscarded():
            _discard(state, record.event)
            state.counters.discarded += 1
        case QueueHeld():
            state.hold = record.reason
        case QueueReleased():
            state.hold = None
        case ActorRestarted():
            if state.in_flight is not None:
                event = state.waiting[state.in_flight]
                event.state = "queued"
                event.last_error = error_of(record)
                state.in_flight = None
            state.counters.restarts += 1
        case _:
            assert_never(record)
    return state


def _is_late(state: QueueState, event: EventAccepted) -> bool:
    """Whether a later event of its alert is known, which says how things are now."""
    at = event.occurred_at
    return at is not None and state.alerts.later(event.dedup_key, at, event.at) is not None


def supply_room(state: QueueState, record: EventAccepted) -> None:
    """A snapshot that an earlier version has saved does not say how much room its events take."""
    waiting, letter = state.waiting.get(record.event), state.dead.get(record.event)
    if waiting is not None and not waiting.room:
        waiting.room = record.room
        state.waiting_room += record.room
    if letter is not None and not letter.room:
        letter.room = record.room
        state.dead.room += record.room


def error_of(record: DeliveryDeferred | EventDeadLettered | ActorRestarted) -> str:
    """What the record says went wrong with the attempt before it."""
    if isinstance(record, ActorRestarted):
        return f"{record.reason}: the outcome of the attempt is unknown"
    return f"{record.reason}: {record.detail}" if record.detail else record.reason


def _take(state: QueueState, event: EventId) -> WaitingEvent:
    """An event leaves those that wait."""
    taken = state.waiting.pop(event)
    state.waiting_room -= taken.room
    return taken


def _defer(state: QueueState, record: DeliveryDeferred) -> None:
    event = state.waiting[record.event]
    error = error_of(record)
    event.state = "deferred"
    event.next_attempt_at = record.retry_at
    event.last_error = error
    if record.reason in MAYBE_THE_EVENT:
        event.strikes += record.counts is not False
        if record.counts is not None:
            event.failing_for = event.failing_for_until(record.at)
            event.failed_at = record.at
    if record.reason in NOT_AT_PAGERDUTY:
        event.failed_at = None
    elif not record.link_failing:
        state.failures += 1
    if record.reason == "rate_limited":
        state.pace.call_refused(record.at)
    state.in_flight = None
    state.deferred_at = record.at
    state.not_before = record.retry_at
    _note_error(state, error, record.at)
    state.counters.deferred += 1


def _end_wait(state: QueueState) -> None:
    state.not_before = state.deferred_at = 0.0


def _succeed(state: QueueState, at: float) -> None:
    state.in_flight = None
    state.failures = 0
    state.last_delivered_at = at
    state.pace.call_taken(at, backlog=bool(state.waiting))


def _discard(state: QueueState, event: EventId) -> None:
    if state.dead.take(event) is not None:
        return
    discarded = _take(state, event)
    if discarded.state == "deferred" and not state.is_rate_limited:
        # The wait was this event's, while a rate limit is the key's: those behind it begin anew.
        state.failures = 0
        _end_wait(state)


def _requeue(state: QueueState, record: EventRetried) -> None:
    letter = state.dead.take(record.event)
    state.counters.retried += 1
    state.next_position = record.position + 1
    if letter is None:
        state.waiting[record.event].next_attempt_at = record.at
        _end_wait(state)
        return
    state.waiting[letter.id] = WaitingEvent(
        id=letter.id,
        position=record.position,
        kind=letter.kind,
        action=letter.action,
        dedup_key=letter.dedup_key,
        accepted_at=letter.accepted_at,
        room=letter.room,
        attempts=letter.attempts,
        last_error=letter.error,
        superseded_by=record.superseded_by,
    )
    state.waiting_room += letter.room


def _note_error(state: QueueState, error: str, at: float) -> None:
    state.last_error = error
    state.last_error_at = at
