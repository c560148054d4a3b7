"""Deliveries: in order, one in flight, and what each verdict leads to."""

from __future__ import annotations

import pytest

from actors.core.commands import Policy, ResumeQueue, StartDelivery
from actors.core.decide import AwaitVerdict, Deliver, Nothing, WakeAfter
from actors.core.verdict import DeferReason, Deferred, Delivered, Rejected
from store.records import ActorRestarted, DeliveryDeferred, EventDeadLettered, EventDelivered
from tests.actors.core.life import (
    NOW,
    A,
    B,
    accepted,
    deferred,
    delivered,
    died,
    finish,
    given,
    owed,
    started,
    went,
    when,
)

TWO = (accepted(A), accepted(B, 2))

# The delivery policy, as far as the core decides it; which answer has which reason is the table of
# tests/pdagent/eventsapi/test_verdict_table.py. Each: counts as a failure of the event, makes the
# wait longer, paces the key.
POLICY: dict[DeferReason, tuple[bool, bool, bool]] = {
    "rate_limited": (False, True, True),
    "server_error": (True, True, False),
    "no_answer": (True, True, False),
    "not_understood": (True, True, False),
    "unreachable": (False, False, False),
}
REASONS = pytest.mark.parametrize("reason", POLICY)


def test_the_first_event_goes_first() -> None:
    assert owed(given(*TWO)) == Deliver(A)
    assert when(given(*TWO), StartDelivery()) == [started(A)]


def test_while_one_is_in_flight_no_other_starts() -> None:
    state = given(*TWO, started(A))
    assert owed(state) == AwaitVerdict()
    assert when(state, StartDelivery()) == []


def test_the_next_goes_when_the_one_before_is_delivered_or_dead() -> None:
    for ended in (went(A), died(A)):
        assert owed(given(*TWO, *ended)) == Deliver(B)


def test_an_empty_queue_has_nothing_to_do() -> None:
    assert owed(given()) == Nothing()
    assert owed(given(accepted(A), *went(A))) == Nothing()
    assert when(given(), StartDelivery()) == []


def test_a_delivery_is_recorded_with_its_code_and_length() -> None:
    verdict = Delivered(status=202, seconds=0.25)
    assert when(given(*TWO, started(A)), finish(A, verdict), now=NOW + 1) == [
        EventDelivered(event=A, status=202, at=NOW + 1, seconds=0.25)
    ]


def test_a_refused_event_is_a_dead_letter_at_once() -> None:
    verdict = Rejected(reason="http_400", detail="severity is wrong", seconds=0.5)
    state = given(*TWO, started(A))
    records = when(state, finish(A, verdict))
    assert records == [
        EventDeadLettered(
            event=A, reason="http_400", detail="severity is wrong", at=NOW, seconds=0.5
        )
    ]
    state = given(*TWO, started(A), *records)
    assert state.dead[A].error == "http_400: severity is wrong"
    assert (state.failures, list(state.waiting)) == (0, [B])


def test_the_policy_covers_every_reason() -> None:
    assert set(POLICY) == set(DeferReason.__args__)  # type: ignore[attr-defined]


@REASONS
def test_a_deferred_event_stays_first_and_its_queue_waits(reason: DeferReason) -> None:
    state = given(*TWO, started(A))
    (record,) = when(state, finish(A, Deferred(reason=reason), chance=0.5))  # type: ignore[misc]
    assert isinstance(record, DeliveryDeferred)
    assert record.reason == reason
    state = given(*TWO, started(A), record)
    assert list(state.waiting) == [A, B]
    assert state.condition == "backing_off"
    if reason == "unreachable":
        assert owed(state) == Deliver(A)  # as soon as the breaker lets it
    else:
        assert owed(state) == WakeAfter(pytest.approx(max(0.5, state.pace.interval)))
    assert owed(state, now=NOW + 1) == Deliver(A)


@REASONS
def test_what_a_deferral_counts_for(reason: DeferReason) -> None:
    strikes, backs_off, paces = POLICY[reason]
    state = given(*TWO, started(A), deferred(A, reason))
    assert state.waiting[A].attempts == 1
    assert state.waiting[A].strikes == int(strikes)
    assert state.failures == int(backs_off)
    assert bool(state.pace.interval) == paces


@REASONS
def test_an_event_that_pagerduty_fails_on_too_often_is_given_up_and_no_other(
    reason: DeferReason,
) -> None:
    policy = Policy(max_attempts=3)
    history = [accepted(A)]
    for attempt in (1, 2):
        history += [started(A, attempt), deferred(A, reason)]
    state = given(*history, started(A, 3))
    (record,) = when(  # type: ignore[misc]
        state, finish(A, Deferred(reason=reason, detail="HTTP 500")), policy=policy
    )
    if POLICY[reason][0]:
        assert isinstance(record, EventDeadLettered)
        assert record.reason == "gave_up"
        assert record.detail == "3 attempts failed, the last: HTTP 500"
    else:
        assert isinstance(record, DeliveryDeferred)


def test_attempts_that_are_nobodys_fault_do_not_count_towards_giving_up() -> None:
    history = [accepted(A)]
    for attempt in range(1, 200):
        reason = "unreachable" if attempt % 2 else "rate_limited"
        history += [started(A, attempt), deferred(A, reason)]
    state = given(*history, started(A, 200))
    (record,) = when(state, finish(A, Deferred(reason="server_error")))  # type: ignore[misc]
    assert isinstance(record, DeliveryDeferred)


@REASONS
def test_pagerdutys_wish_to_wait_is_honoured(reason: DeferReason) -> None:
    verdict = Deferred(reason=reason, retry_after=17.0)
    (record,) = when(given(*TWO, started(A)), finish(A, verdict))  # type: ignore[misc]
    assert isinstance(record, DeliveryDeferred)
    assert record.retry_at == (NOW if reason == "unreachable" else NOW + 17)


def test_the_waits_grow_with_failures_in_a_row_and_begin_again_after_a_success() -> None:
    history = [*TWO]
    waits = []
    for attempt in range(1, 9):
        history.append(started(A, attempt))
        (record,) = when(  # type: ignore[misc]
            given(*history), finish(A, Deferred(reason="server_error"), chance=1.0)
        )
        assert isinstance(record, DeliveryDeferred)
        waits.append(record.retry_at - NOW)
        history.append(record)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    state = given(*history, started(A, 9), delivered(A), started(B))
    (record,) = when(  # type: ignore[misc]
        state, finish(B, Deferred(reason="server_error"), chance=1.0)
    )
    assert isinstance(record, DeliveryDeferred)
    assert record.retry_at == NOW + 1


def test_a_verdict_of_an_attempt_that_was_given_up_is_not_listened_to() -> None:
    late = finish(A, Delivered(status=202))
    for state in (given(*TWO), given(*TWO, *went(A), started(B)), given(*TWO, *died(A))):
        assert when(state, late) == []


def test_after_a_restart_the_attempt_without_outcome_is_made_again() -> None:
    history = (*TWO, started(A))
    records = when(given(*history), ResumeQueue("the agent was killed"))
    assert records == [ActorRestarted(reason="the agent was killed", at=NOW)]
    state = given(*history, *records)
    assert owed(state) == Deliver(A)
    assert when(state, StartDelivery()) == [started(A, attempt=2)]
    assert "outcome" in (state.waiting[A].last_error or "")


def test_a_restart_without_an_attempt_under_way_is_not_worth_a_record() -> None:
    assert when(given(*TWO), ResumeQueue("the agent was killed")) == []
