"""Operators: retry, discard, hold, release; dead letters that a later event has superseded."""

from __future__ import annotations

import pytest

from actors.core.commands import (
    DiscardEvents,
    ExpireDeadLetters,
    HoldQueue,
    LimitDeadLetters,
    Refusal,
    ReleaseQueue,
    RetryEvents,
    StartDelivery,
)
from actors.core.decide import Deliver, WakeAfter
from actors.core.pace import DOCUMENTED
from actors.core.state import QueueState
from store.records import (
    EventDiscarded,
    EventId,
    EventRetried,
    QueueHeld,
    QueueReleased,
    Record,
)
from tests.actors.core.life import (
    NOW,
    A,
    B,
    C,
    D,
    accept,
    accepted,
    after,
    deferred,
    delivered,
    died,
    given,
    owed,
    started,
    went,
    when,
)

DEAD = (accepted(A, dedup_key="a"), *died(A))
TWO_DEAD = (*DEAD, accepted(B, 2, dedup_key="b"), *died(B))


def retried(id_: str, position: int, by: str | None = None, *, forced: bool = False) -> Record:
    return EventRetried(event=id_, position=position, at=NOW, forced=forced, superseded_by=by)  # type: ignore[arg-type]


# Retry


def test_a_dead_letter_goes_to_the_tail_and_keeps_its_attempts() -> None:
    history = (*DEAD, accepted(B, 2))
    records = when(given(*history), RetryEvents([A]))
    assert records == [retried(A, 3)]
    state = given(*history, *records)
    assert list(state.waiting) == [B, A]
    assert not state.dead
    assert when(after(state, *went(B)), StartDelivery()) == [started(A, attempt=2)]


def test_all_dead_letters_are_retried_in_the_order_in_which_they_died() -> None:
    died_in_turn = (accepted(B, 1, dedup_key="b"), accepted(A, 2, dedup_key="a"))
    state = given(*died_in_turn, *died(B), *died(A))
    for command in (RetryEvents(), RetryEvents([A, B])):
        records = when(state, command)
        assert records == [retried(B, 3), retried(A, 4)]
    assert list(after(state, *records).waiting) == [B, A]  # type: ignore[misc]


def test_an_event_that_is_accepted_after_a_retry_has_the_next_position() -> None:
    state = given(*DEAD, retried(A, 2))
    (record,) = when(state, accept(B))  # type: ignore[misc]
    assert record == accepted(B, 3)


def test_only_those_that_were_asked_for_are_retried() -> None:
    assert when(given(*TWO_DEAD), RetryEvents([B, C])) == [retried(B, 3)]


def test_a_deferred_event_is_due_at_once_and_keeps_its_place() -> None:
    history = (
        accepted(A),
        accepted(B, 2),
        started(A),
        deferred(A, at=NOW, retry_at=NOW + 60),
    )
    assert owed(given(*history)) == WakeAfter(60.0)
    for command in (RetryEvents(), RetryEvents([A])):
        records = when(given(*history), command)
        assert records == [retried(A, 3)]
        state = given(*history, *records)
        assert owed(state) == Deliver(A)
        assert list(state.waiting) == [A, B]
    assert when(given(*history), RetryEvents([B])) == [], "it has not failed"


def test_strikes_begin_anew_after_a_retry() -> None:
    history = [accepted(A)]
    for attempt in (1, 2, 3):
        history += [started(A, attempt), deferred(A, "server_error")]
    state = given(*history, *died(A, attempt=4))
    state = after(state, retried(A, 2))
    assert (state.waiting[A].attempts, state.waiting[A].trials.strikes) == (4, 0)


# Superseded dead letters

# The dead letter's action, the later event's, and whether a retry would then do harm.
SUPERSEDES = [
    ("trigger", "trigger", False),
    ("trigger", "acknowledge", False),
    ("trigger", "resolve", True),
    ("acknowledge", "trigger", True),
    ("acknowledge", "acknowledge", False),
    ("acknowledge", "resolve", False),
    ("resolve", "trigger", True),
    ("resolve", "acknowledge", False),
    ("resolve", "resolve", False),
    ("change", "change", False),
]


@pytest.mark.parametrize("is_delivered", [True, False], ids=["delivered", "waiting"])
@pytest.mark.parametrize(("action", "later", "harmful"), SUPERSEDES)
def test_what_a_later_event_of_the_alert_means_for_a_retry(
    action: str, later: str, harmful: bool, is_delivered: bool
) -> None:
    history = (
        accepted(A, action=action, dedup_key="disk"),
        *died(A),
        accepted(B, 2, action=later, dedup_key="disk"),
    )
    state = given(*history, *(went(B) if is_delivered else ()))
    answer = when(state, RetryEvents([A]))
    if not harmful:
        assert answer == [retried(A, 3)]
        return
    assert isinstance(answer, Refusal)
    assert answer.reason == "superseded"
    assert all(word in answer.message for word in (A, B, "'disk'", action, "--force", "discard"))
    assert when(state, RetryEvents()) == []
    assert when(state, RetryEvents([A], force=True)) == [retried(A, 3, by=B, forced=True)]
    assert when(state, RetryEvents(force=True)) == [retried(A, 3, by=B, forced=True)]


@pytest.mark.parametrize("is_delivered", [True, False], ids=["delivered", "waiting"])
def test_events_of_other_alerts_supersede_nothing(is_delivered: bool) -> None:
    history = (*DEAD, accepted(B, 2, action="resolve", dedup_key="b"))
    state = given(*history, *(went(B) if is_delivered else ()))
    assert when(state, RetryEvents([A])) == [retried(A, 3)]


def test_an_earlier_resolve_supersedes_nothing() -> None:
    earlier = (accepted(B, action="resolve", dedup_key="a"), *went(B))
    assert when(given(*earlier, accepted(A, 2, dedup_key="a"), *died(A)), RetryEvents([A])) == [
        retried(A, 3)
    ]


def test_a_resolve_that_was_not_delivered_supersedes_nothing() -> None:
    state = given(*DEAD, accepted(B, 2, action="resolve", dedup_key="a"), *died(B))
    assert when(state, RetryEvents([A])) == [retried(A, 3)]


def test_a_superseded_one_among_others_is_left_where_it_is() -> None:
    state = given(*TWO_DEAD, accepted(C, 3, action="resolve", dedup_key="a"), *went(C))
    assert when(state, RetryEvents()) == [retried(B, 4)]
    assert when(state, RetryEvents([A, B])) == [retried(B, 4)]


def test_a_forced_retry_that_fails_again_leaves_the_event_superseded() -> None:
    resolved = (accepted(B, 2, action="resolve", dedup_key="a"), *went(B))
    for history in ((*DEAD, *resolved), (*DEAD, resolved[0])):
        state = given(*history)
        records = when(state, RetryEvents([A], force=True))
        assert isinstance(records, list)
        state = after(state, *records)
        if B in state.waiting:
            state = after(state, *went(B))
        state = after(state, *died(A, attempt=2))
        assert isinstance(when(state, RetryEvents([A])), Refusal)


# Discard


def test_waiting_and_dead_events_can_be_discarded_the_one_in_flight_can_not() -> None:
    state = given(*DEAD, accepted(B, 2), accepted(C, 3), started(B))

    def discarded(id_: str) -> EventDiscarded:
        return EventDiscarded(event=id_, reason="noise", at=NOW)  # type: ignore[arg-type]

    assert when(state, DiscardEvents(None, "noise")) == [discarded(C), discarded(A)]
    assert when(state, DiscardEvents([A, B, C, C, D], "noise")) == [discarded(A), discarded(C)]


@pytest.mark.parametrize("reason", ["server_error", "no_answer", "not_understood"])
def test_what_waits_behind_a_discarded_event_does_not_wait_for_its_next_attempt(
    reason: str,
) -> None:
    history = (
        accepted(A),
        accepted(B, 2),
        started(A),
        deferred(A, reason, retry_at=NOW + 60),
    )
    state = given(*history, EventDiscarded(event=A, reason="noise", at=NOW))
    assert (owed(state), state.condition) == (Deliver(B), "active")


def test_a_rate_limit_is_the_keys_and_stays_when_the_event_that_met_it_is_discarded() -> None:
    history = (
        accepted(A),
        accepted(B, 2),
        started(A),
        deferred(A, "rate_limited", retry_at=NOW + 60),
    )
    state = given(*history, EventDiscarded(event=A, reason="noise", at=NOW))
    assert (owed(state), state.condition) == (WakeAfter(60.0), "backing_off")
    for command in (RetryEvents(), RetryEvents([B])):
        records = when(state, command)
        assert records == [retried(B, 3)], "an operator may try all the same"
    state = after(state, retried(B, 3))
    assert owed(state) == WakeAfter(pytest.approx(DOCUMENTED)), (
        "but no faster than PagerDuty takes its events"
    )


def test_discarding_one_that_waits_further_behind_changes_no_wait() -> None:
    history = (
        accepted(A),
        accepted(B, 2),
        started(A),
        deferred(A, "server_error", retry_at=NOW + 60),
    )
    state = given(*history, EventDiscarded(event=B, reason="noise", at=NOW))
    assert owed(state) == WakeAfter(60.0)


def test_dead_letters_expire_and_waiting_events_never_do() -> None:
    old, new = NOW - 100, NOW - 10
    state = given(
        accepted(A, at=old),
        *died(A, at=old),
        accepted(B, 2, at=old),
        *died(B, at=new),
        accepted(C, 3, at=old),
    )
    assert when(state, ExpireDeadLetters(NOW - 50)) == [
        EventDiscarded(event=A, reason="retention", at=NOW)
    ]


def test_in_a_full_journal_the_oldest_dead_letters_go_until_the_others_fit() -> None:
    state = given(
        *(
            record
            for n, id_ in enumerate((A, B, C), 1)
            for record in (accepted(id_, n), *died(id_))
        ),
        accepted(D, 4),
    )
    room = state.dead[C].room
    assert when(state, LimitDeadLetters(3 * room)) == []
    assert when(state, LimitDeadLetters(2 * room - 1)) == [
        EventDiscarded(event=id_, reason="journal_full", at=NOW) for id_ in (A, B)
    ]
    assert len(when(state, LimitDeadLetters(0))) == 3, "what waits stays"  # type: ignore[arg-type]


def test_a_dead_letter_is_as_old_as_those_around_it_say() -> None:
    """A clock that was set back when it died must not expire it, nor one ahead keep it for ever."""
    last = EventId("e")
    times = {A: NOW - 100, B: NOW + 1e6, C: NOW - 90, D: NOW - 10, last: NOW - 1e6}
    state = given(
        *(
            record
            for n, (id_, at) in enumerate(times.items(), 1)
            for record in (accepted(id_, n), *died(id_, at=at))
        )
    )
    expired = when(state, ExpireDeadLetters(NOW - 50))
    assert expired == [EventDiscarded(event=id_, reason="retention", at=NOW) for id_ in (A, B, C)]


# Hold


def test_a_held_queue_accepts_finishes_what_is_in_flight_and_starts_nothing() -> None:
    held = QueueHeld(reason="maintenance", at=NOW)
    assert when(given(accepted(A)), HoldQueue("maintenance")) == [held]
    state = given(accepted(A), accepted(B, 2), started(A), held)
    state = after(state, delivered(A))
    assert (owed(state), state.condition) == (None, "held")
    assert when(state, StartDelivery()) == []
    assert owed(after(state, QueueReleased(at=NOW))) == Deliver(B)


def test_holding_twice_or_releasing_what_is_not_held_is_not_worth_a_record() -> None:
    state = given(QueueHeld(reason="maintenance", at=NOW))
    assert when(state, HoldQueue("maintenance")) == []
    assert when(state, HoldQueue("another reason")) == [QueueHeld(reason="another reason", at=NOW)]
    assert when(state, ReleaseQueue()) == [QueueReleased(at=NOW)]
    assert when(given(), ReleaseQueue()) == []


def test_a_hold_outlasts_a_retry() -> None:
    state: QueueState = given(*DEAD, QueueHeld(reason="maintenance", at=NOW), retried(A, 2))
    assert owed(state) is None
