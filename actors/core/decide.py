"""The life of a queue, pure: no thread, no clock, no disk, no network.

`decide` says what happens because of a command, `resume` what is owed next; `actors.core.evolve`
applies what was decided, live and in replay. Time enters as `now`, chance inside the command.
Top to bottom in the order in which an event lives.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from actors.core.commands import (
    AcceptEvent,
    Command,
    DiscardEvents,
    ExpireDeadLetters,
    FinishDelivery,
    HoldQueue,
    LimitDeadLetters,
    NewEvent,
    Policy,
    Receipt,
    Refusal,
    ReleaseQueue,
    ResumeQueue,
    RetryEvents,
    StartDelivery,
    TriggerOverdue,
)
from actors.core.dead_letters import SUPERSEDED_BY, DeadLetter
from actors.core.evolve import MAYBE_THE_EVENT
from actors.core.jobs import MOST_JOBS
from actors.core.occurrence import Latest
from actors.core.pace import backoff, remaining
from actors.core.state import QueueState, WaitingEvent
from actors.core.verdict import NOT_AT_PAGERDUTY, Deferred, Delivered, Rejected
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
    JobReport,
    QueueHeld,
    QueueReleased,
    Record,
)


class Deliver(msgspec.Struct, frozen=True):
    """The event at the head is due."""

    event: EventId


class WakeAfter(msgspec.Struct, frozen=True):
    """Nothing to do before `seconds` have passed."""

    seconds: float


Owed = Deliver | WakeAfter | None
"""None while a delivery is under way, and for a queue that is empty or held."""


def decide(
    state: QueueState, command: Command, now: float, policy: Policy
) -> list[Record] | Refusal:
    """The records that `command` leads to at `now`, possibly none, or why it can't be done."""
    match command:
        case AcceptEvent(event=event, refusal=refusal):
            if event.id in state.waiting or event.id in state.dead:
                return []
            if refusal is not None:
                return refusal
            full = queue_full(state, policy)
            if full is not None:
                return full
            return _accept(state, event, now)
        case TriggerOverdue():
            return [
                EventAccepted(
                    event=expected.event,
                    position=state.next_position + n,
                    kind="v2",
                    action="trigger",
                    dedup_key=dedup_key,
                    body=expected.body,
                    at=now,
                    source="pagerduty-agent",
                )
                for n, (dedup_key, expected) in enumerate(state.jobs.overdue(now))
            ]
        case StartDelivery():
            match resume(state, now):
                case Deliver(event=id_):
                    attempt = state.waiting[id_].attempts + 1
                    return [DeliveryStarted(event=id_, attempt=attempt, at=now)]
            return []
        case FinishDelivery():
            return _finish(state, command, now, policy)
        case RetryEvents():
            return _retry(state, command, now)
        case DiscardEvents(ids=ids, reason=reason):
            wanted = [*state.waiting, *state.dead] if ids is None else ids
            return [
                EventDiscarded(event=id_, reason=reason, at=now)
                for id_ in dict.fromkeys(wanted)
                if (id_ in state.waiting and id_ != state.in_flight) or id_ in state.dead
            ]
        case ExpireDeadLetters(before=before):
            old = state.dead.older_than(before, now)
            return [EventDiscarded(event=id_, reason="retention", at=now) for id_ in old]
        case LimitDeadLetters(room=room):
            beyond = state.dead.beyond(room)
            return [EventDiscarded(event=id_, reason="journal_full", at=now) for id_ in beyond]
        case HoldQueue(reason=reason):
            return [] if state.hold == reason else [QueueHeld(reason=reason, at=now)]
        case ReleaseQueue():
            return [] if state.hold is None else [QueueReleased(at=now)]
        case ResumeQueue(reason=reason):
            return [] if state.in_flight is None else [ActorRestarted(reason=reason, at=now)]


def _accept(state: QueueState, event: NewEvent, now: float) -> list[Record]:
    """Accept an event so that its alert ends as the order of occurrence says.

    A trigger is always delivered; if its alert has been resolved since it occurred, a resolve
    follows. What was meant for an alert before it was triggered anew is not delivered.
    """
    position = state.next_position
    if event.job is not None and event.job.expected and not state.jobs.takes(event.dedup_key):
        warnings = (*event.warnings, _TOO_MANY_EXPECTED)
        event = msgspec.structs.replace(event, job=JobReport(), warnings=warnings)
    if event.only_if_open and state.jobs.is_closed(event.dedup_key):
        return [
            _accepted(event, position, now),
            EventDiscarded(event=event.id, reason="not_needed", at=now),
        ]
    if event.occurred_at is None:
        return [_accepted(event, position, now)]
    later = state.alerts.later(event.dedup_key, event.occurred_at, now)
    match later, event.action:
        case Latest(action="resolve"), "trigger" if event.closing is not None:
            closing = msgspec.structs.replace(event.closing, occurred_at=later.occurred_at)
            return [
                _accepted(event, position, now, _CLOSED.format(closing.id)),
                _accepted(closing, position + 1, now, _CLOSES.format(event.id)),
            ]
        case Latest(action="trigger"), "acknowledge" | "resolve":
            return [
                _accepted(event, position, now, _OVERTAKEN),
                EventDiscarded(event=event.id, reason="overtaken", at=now),
            ]
    return [_accepted(event, position, now)]


_CLOSED = "its alert has been resolved since it occurred: delivered, and then resolved by event {}"
_CLOSES = "made by the agent: trigger {} arrived after a resolve that occurred later"
_TOO_MANY_EXPECTED = (
    f"{MOST_JOBS} jobs of this routing key are expected to report already: this one is NOT; give "
    "jobs names that stay the same, or another key"
)
_OVERTAKEN = (
    "its alert has been triggered since it occurred: not delivered, as it would concern the newer "
    "incident (overtaken)"
)


def _accepted(event: NewEvent, position: int, now: float, *warnings: str) -> EventAccepted:
    return EventAccepted(
        event=event.id,
        position=position,
        kind=event.kind,
        action=event.action,
        dedup_key=event.dedup_key,
        body=event.body,
        at=now,
        warnings=event.warnings + warnings,
        source=event.source,
        fingerprint=event.fingerprint,
        occurred_at=event.occurred_at,
        passed=event.passed,
        job=event.job,
    )


def repeated(event: NewEvent, first: EventAccepted) -> Receipt | Refusal:
    """The answer to `event` after `first` was accepted with the same Idempotency-Key.

    The same request gets its receipt as it was given then. A different one is refused, or its
    sender would take it for stored. A record without a fingerprint is from a version that gave
    the receipt with a warning: it may be the answer to a repetition.
    """
    warnings = first.warnings
    if first.fingerprint:
        if first.fingerprint != event.fingerprint:
            return Refusal(reason="idempotency_key_reused", message=_reused(event, first))
    elif (first.kind, first.action, first.dedup_key) != (event.kind, event.action, event.dedup_key):
        warnings += (_reused(event, first),)
    return Receipt(event=event.id, dedup_key=first.dedup_key, warnings=warnings)


def _reused(event: NewEvent, first: EventAccepted) -> str:
    return (
        f"this Idempotency-Key was used before for another event ({event.id}, {first.kind} "
        f"{first.action} of {first.dedup_key!r}): this one was NOT stored, send it with a key of "
        "its own"
    )


def queue_full(state: QueueState, policy: Policy) -> Refusal | None:
    """Why the queue takes no more events, or None if it does."""
    if len(state.waiting) >= policy.max_queue_length:
        limit = f"{policy.max_queue_length} events wait for this routing key (max_queue_length)"
    elif state.waiting_room >= policy.max_journal // 2:
        limit = (
            f"the waiting events of this routing key fill its share, half of the journal's "
            f"{policy.max_journal >> 20} MB (max_journal_mb)"
        )
    else:
        return None
    return Refusal(
        reason="queue_full",
        message=f"{limit}: see why with 'pagerduty-agent status' (docs/operating.md#a-full-queue)",
        retry_after=30,
    )


def _finish(state: QueueState, command: FinishDelivery, now: float, policy: Policy) -> list[Record]:
    if state.in_flight != command.event:
        return []  # a late verdict about an attempt that was given up already
    event = state.waiting[command.event]
    match command.verdict:
        case Delivered(status=status, seconds=seconds):
            return [EventDelivered(event=event.id, status=status, at=now, seconds=seconds)]
        case Rejected(reason=reason, detail=detail, seconds=seconds):
            return [
                EventDeadLettered(
                    event=event.id, reason=reason, detail=detail, at=now, seconds=seconds
                )
            ]
        case Deferred(reason=reason, detail=detail, seconds=seconds):
            may_be_the_event = reason in MAYBE_THE_EVENT
            if may_be_the_event and (why := _gives_up(event, command, now, policy)):
                return [
                    EventDeadLettered(
                        event=event.id,
                        reason="gave_up",
                        detail=f"{why}; the last: {detail}",
                        at=now,
                        seconds=seconds,
                    )
                ]
            failing = command.link_failing and may_be_the_event
            return [
                DeliveryDeferred(
                    event=event.id,
                    reason=reason,
                    detail=detail,
                    at=now,
                    retry_at=now
                    + _delay(state, command.verdict, command.chance, link_failing=failing),
                    seconds=seconds,
                    counts=command.counts,
                    link_failing=failing,
                )
            ]


def _gives_up(
    event: WaitingEvent, command: FinishDelivery, now: float, policy: Policy
) -> str | None:
    """Why the event is given up after this attempt; None if it is not."""
    strikes, lasts = event.strikes + command.counts, event.failing_for_until(now)
    if command.counts and strikes >= policy.max_attempts and lasts >= policy.least_failing:
        return (
            f"max_attempts: {strikes} attempts failed in {lasts / 60:.0f} minutes, while PagerDuty "
            "accepted other events"
        )
    if lasts >= policy.give_up_after:
        return f"give_up_after: all attempts failed for {lasts / 3600:.3g} hours"
    return None


def _delay(state: QueueState, verdict: Deferred, chance: float, *, link_failing: bool) -> float:
    if verdict.reason in NOT_AT_PAGERDUTY:
        return 0.0  # the breaker, which all keys share, says when
    wish = verdict.retry_after
    if link_failing:
        return wish or 0.0  # here too, but for PagerDuty's own wish
    wait = backoff(state.failures + 1, chance)
    if wish is None:
        return wait
    return wish if verdict.reason == "rate_limited" else max(wish, wait)


def _retry(state: QueueState, command: RetryEvents, now: float) -> list[Record] | Refusal:
    """Dead letters first, in the order in which they died; a superseded one only by force."""
    letters = _letters(state, command.ids)
    later = _later_events(state, letters)
    chosen: list[tuple[EventId, EventId | None]] = []
    for letter in letters:
        by = letter.superseded_by or later.get((SUPERSEDED_BY.get(letter.action), letter.dedup_key))
        if by is None or command.force:
            chosen.append((letter.id, by))
        elif command.ids is not None and len(command.ids) == 1:
            return superseded(letter, by)
    if state.waits_after_failure:
        head = next(iter(state.waiting))  # no other is tried, so no other is deferred
        if command.ids is None or head in command.ids:
            chosen.append((head, None))
    return [
        EventRetried(
            event=id_,
            position=state.next_position + n,
            at=now,
            forced=command.force,
            superseded_by=by,
        )
        for n, (id_, by) in enumerate(chosen)
    ]


def _letters(state: QueueState, ids: Sequence[EventId] | None) -> list[DeadLetter]:
    if ids is None:
        return list(state.dead.values())
    if len(ids) == 1:
        return [state.dead[id_] for id_ in ids if id_ in state.dead]
    wanted = frozenset(ids)
    return [letter for id_, letter in state.dead.items() if id_ in wanted]


def _later_events(
    state: QueueState, letters: Sequence[DeadLetter]
) -> dict[tuple[str | None, str], EventId]:
    """By action and dedup key, which of the waiting events supersede some of these letters."""
    asked = {
        (SUPERSEDED_BY[letter.action], letter.dedup_key)
        for letter in letters
        if letter.action in SUPERSEDED_BY
    }
    if not asked:
        return {}
    return {
        (event.action, event.dedup_key): event.id
        for event in state.waiting.values()
        if (event.action, event.dedup_key) in asked
    }


def superseded(letter: DeadLetter, by: EventId) -> Refusal:
    """Why a dead letter is not retried after the later event `by` of its alert."""
    if letter.action == "trigger":
        harm = "resolves: a retry would open an incident that nothing closes"
    else:
        harm = "triggers anew: a retry would concern an incident that it was not meant for"
    return Refusal(
        reason="superseded",
        message=f"event {letter.id} is a {letter.action} for {letter.dedup_key!r}, which the later "
        f"event {by} {harm}. Give it up with 'pagerduty-agent queue discard {letter.id}', or send "
        f"it all the same with 'pagerduty-agent queue retry --force {letter.id}'",
    )


def resume(state: QueueState, now: float) -> Owed:
    """What is owed at `now`: after recovery, and after every change."""
    if state.in_flight is not None or state.hold is not None or not state.waiting:
        return None
    wait = max(
        remaining(state.deferred_at, state.not_before, now),
        remaining(state.last_started_at, state.last_started_at + state.pace.interval, now),
    )
    if wait > 0:
        return WakeAfter(wait)
    return Deliver(next(iter(state.waiting)))
