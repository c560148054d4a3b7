"""The only way in which a queue's state changes: one record at a time, live and in replay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from actors.core.dead_letters import DeadLetter
from actors.core.state import ATTEMPTS_KEPT, QueueState
from actors.core.verdict import NOT_AT_PAGERDUTY, NOT_SENT
from actors.core.waiting import FIRST_ATTEMPT, UNTRIED, Trials, WaitingEvent, sort_of
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

_ROOM_OF_ATTEMPT = 300  # bytes


def evolve(state: QueueState, record: Record) -> QueueState:
    """Apply one record. The given state is changed in place and returned; don't keep the old."""
    _APPLY[type(record)](state, record)
    return state


def _accept(state: QueueState, record: EventAccepted) -> None:
    event = WaitingEvent.accepted(record)
    state.own_waiting().add(event)
    state.waiting_room += event.sort.room
    if (record.job is not None or state.jobs) and not _is_late(state, record):
        state.own_jobs().note(record)
    if record.occurred_at is not None or state.alerts:
        state.own_alerts().note(record)
    state.next_position = record.position + 1
    state.counters.accepted += 1


def _is_late(state: QueueState, event: EventAccepted) -> bool:
    """Whether a later event of its alert is known, which says how things are now."""
    at = event.occurred_at
    return at is not None and state.alerts.later(event.dedup_key, at, event.at) is not None


def supply_room(state: QueueState, record: EventAccepted) -> None:
    """A snapshot that an earlier version has saved does not say how much room its events take."""
    waiting, letter = state.waiting.get(record.event), state.dead.get(record.event)
    if waiting is not None and not waiting.room:
        sort = sort_of(waiting.kind, waiting.action, record.room)
        state.waiting.change(replace(waiting, sort=sort))
        state.waiting_room += record.room
    if letter is not None and not letter.room:
        state.dead.change(replace(letter, room=record.room))


def error_of(record: DeliveryDeferred | EventDeadLettered | ActorRestarted) -> str:
    """What the record says went wrong with the attempt before it."""
    if isinstance(record, ActorRestarted):
        return f"{record.reason}: the outcome of the attempt is unknown"
    return f"{record.reason}: {record.detail}" if record.detail else record.reason


def _take(state: QueueState, event: EventId) -> WaitingEvent:
    """An event leaves those that wait."""
    taken = state.waiting.take(event)
    state.waiting_room -= taken.sort.room
    return taken


def _start(state: QueueState, record: DeliveryStarted) -> None:
    event = state.waiting[record.event]
    before = event.trials
    room = _ROOM_OF_ATTEMPT if record.attempt <= 2 * ATTEMPTS_KEPT else 0
    trials = FIRST_ATTEMPT
    if record.attempt > 1 or before is not UNTRIED:
        trials = replace(before, state="in_flight", attempts=record.attempt, next_attempt_at=None)
    state.waiting.change(event.after(trials, room=room))
    state.waiting_room += room
    state.in_flight = record.event
    _end_wait(state)
    state.last_started_at = record.at
    state.counters.started += 1


def _defer(state: QueueState, record: DeliveryDeferred) -> None:
    event = state.waiting[record.event]
    error, before = error_of(record), event.trials
    strikes, failing_for, failed_at = before.strikes, before.failing_for, before.failed_at
    if record.reason in MAYBE_THE_EVENT:
        strikes += record.counts is not False
        if record.counts is not None:
            failing_for, failed_at = event.failing_for_until(record.at), record.at
    if record.reason in NOT_AT_PAGERDUTY:
        failed_at = None
    elif not record.link_failing and record.reason != NOT_SENT:
        state.failures += 1
    trials = replace(
        before,
        state="deferred",
        strikes=strikes,
        failing_for=failing_for,
        failed_at=failed_at,
        next_attempt_at=record.retry_at,
        last_error=error,
    )
    state.waiting.change(event.after(trials))
    if record.reason == "rate_limited":
        state.own_pace().call_refused(record.at)
    state.in_flight = None
    state.deferred_at = record.at
    state.not_before = record.retry_at
    _note_error(state, error, record.at)
    state.counters.deferred += 1


def _end_wait(state: QueueState) -> None:
    state.not_before = state.deferred_at = 0.0


def _deliver(state: QueueState, record: EventDelivered) -> None:
    event = _take(state, record.event)
    state.in_flight = None
    state.failures = 0
    state.last_delivered_at = record.at
    if state.pace.interval:
        state.pace.call_taken(record.at, backlog=bool(state.waiting))
    if state.dead:
        state.dead.supersede(event.action, event.dedup_key, event.id)
    state.counters.delivered += 1


def _bury(state: QueueState, record: EventDeadLettered) -> None:
    event = _take(state, record.event)
    error = error_of(record)
    state.own_dead().add(
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
            superseded_by=event.trials.superseded_by,
        )
    )
    state.in_flight = None
    state.failures = 0
    _note_error(state, error, record.at)
    state.counters.dead_lettered += 1


def _discard(state: QueueState, record: EventDiscarded) -> None:
    state.counters.discarded += 1
    if state.dead.take(record.event) is not None:
        return
    discarded = _take(state, record.event)
    if discarded.state == "deferred" and not state.is_rate_limited:
        # The wait was this event's, while a rate limit is the key's: those behind it begin anew.
        state.failures = 0
        _end_wait(state)


def _requeue(state: QueueState, record: EventRetried) -> None:
    letter = state.dead.take(record.event)
    state.counters.retried += 1
    state.next_position = record.position + 1
    if letter is None:
        event = state.waiting[record.event]
        state.waiting.change(event.after(replace(event.trials, next_attempt_at=record.at)))
        _end_wait(state)
        return
    state.own_waiting().add(
        WaitingEvent(
            letter.id,
            record.position,
            sort_of(letter.kind, letter.action, letter.room),
            letter.dedup_key,
            letter.accepted_at,
            Trials(
                attempts=letter.attempts,
                last_error=letter.error,
                superseded_by=record.superseded_by,
            ),
        )
    )
    state.waiting_room += letter.room


def _note_error(state: QueueState, error: str, at: float) -> None:
    state.last_error = error
    state.last_error_at = at


def _hold(state: QueueState, record: QueueHeld) -> None:
    state.hold = record.reason


def _release(state: QueueState, _: QueueReleased) -> None:
    state.hold = None


def _restart(state: QueueState, record: ActorRestarted) -> None:
    if state.in_flight is not None:
        event = state.waiting[state.in_flight]
        trials = replace(event.trials, state="queued", last_error=error_of(record))
        state.waiting.change(event.after(trials))
        state.in_flight = None
    state.counters.restarts += 1


# A start applies a million records: looking a type up costs less than comparing it with each.
_APPLY: dict[type[Record], Callable[[QueueState, Any], None]] = {
    EventAccepted: _accept,
    DeliveryStarted: _start,
    DeliveryDeferred: _defer,
    EventDelivered: _deliver,
    EventDeadLettered: _bury,
    EventRetried: _requeue,
    EventDiscarded: _discard,
    QueueHeld: _hold,
    QueueReleased: _release,
    ActorRestarted: _restart,
}
