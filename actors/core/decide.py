"""The life of a queue, pure: no thread, no clock, no disk, no network.

`decide` says what happens because of a command, `resume` what is owed next; `actors.core.evolve`
applies what was decided, live and in replay. Time enters as `now`, chance inside the command.
Top to bottom in the order in which an event lives.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from actors.core.accepting import accept, overdue_alarms, queue_full
from actors.core.commands import (
    AcceptEvent,
    Command,
    DiscardEvents,
    ExpireDeadLetters,
    FinishDelivery,
    HoldQueue,
    LimitDeadLetters,
    Policy,
    Refusal,
    ReleaseQueue,
    ResumeQueue,
    RetryEvents,
    StartDelivery,
    TriggerOverdue,
)
from actors.core.dead_letters import SUPERSEDED_BY, DeadLetter
from actors.core.evolve import MAYBE_THE_EVENT
from actors.core.pace import backoff, remaining
from actors.core.state import QueueState
from actors.core.verdict import (
    NOT_AT_PAGERDUTY,
    NOT_SENT,
    THE_KEYS_OWN,
    Deferred,
    Delivered,
    Rejected,
)
from actors.core.waiting import WaitingEvent
from store.records import (
    ActorRestarted,
    DeliveryDeferred,
    DeliveryStarted,
    EventDeadLettered,
    EventDelivered,
    EventDiscarded,
    EventId,
    EventRetried,
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
            return accept(state, event, now)
        case TriggerOverdue():
            return overdue_alarms(state, now)
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
    strikes, lasts = event.trials.strikes + command.counts, event.failing_for_until(now)
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
        # The breaker, which all keys share, says when; many hosts of a relay add some chance.
        return verdict.retry_after or 0.0
    wish = verdict.retry_after
    if link_failing:
        return wish or 0.0  # here too, but for PagerDuty's own wish
    wait = backoff(state.failures + 1, chance)
    if wish is None:
        return wait
    return wish if verdict.reason in (*THE_KEYS_OWN, NOT_SENT) else max(wish, wait)


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
    head = state.waiting.head() if state.waits_after_failure else None
    # No other is tried, so no other is deferred.
    if head is not None and (command.ids is None or head.id in command.ids):
        chosen.append((head.id, None))
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
    head = state.waiting.head()
    if state.in_flight is not None or state.hold is not None or head is None:
        return None
    wait = max(
        remaining(state.deferred_at, state.not_before, now),
        remaining(state.last_started_at, state.last_started_at + state.pace.interval, now),
    )
    if wait > 0:
        return WakeAfter(wait)
    return Deliver(head.id)
