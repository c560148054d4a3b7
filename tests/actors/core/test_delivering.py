"""Deliveries: in order, one in flight, and what each verdict leads to."""

from __future__ import annotations

import math

import pytest

from actors.core.commands import Policy, ResumeQueue, StartDelivery
from actors.core.decide import Deliver, WakeAfter
from actors.core.verdict import NOT_AT_PAGERDUTY, DeferReason, Deferred, Delivered, Rejected
from store.records import (
    ActorRestarted,
    DeliveryDeferred,
    EventDeadLettered,
    EventDelivered,
    Record,
)
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
    "loop": (False, False, False),
    "not_owner": (False, False, False),
    "refused_for_now": (False, True, False),
}
REASONS = pytest.mark.parametrize("reason", POLICY)


def test_the_first_event_goes_first() -> None:
    assert owed(given(*TWO)) == Deliver(A)
    assert when(given(*TWO), StartDelivery()) == [started(A)]


def test_while_one_is_in_flight_no_other_starts() -> None:
    state = given(*TWO, started(A))
    assert owed(state) is None
    assert when(state, StartDelivery()) == []


def test_the_next_goes_when_the_one_before_is_delivered_or_dead() -> None:
    for ended in (went(A), died(A)):
        assert owed(given(*TWO, *ended)) == Deliver(B)


def test_an_empty_queue_has_nothing_to_do() -> None:
    assert owed(given()) is None
    assert owed(given(accepted(A), *went(A))) is None
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
    if reason in NOT_AT_PAGERDUTY:
        assert owed(state) == Deliver(A)  # as soon as the breaker lets it
    else:
        assert owed(state) == WakeAfter(pytest.approx(max(0.5, state.pace.interval)))
    assert owed(state, now=NOW + 1) == Deliver(A)


@REASONS
def test_what_a_deferral_counts_for(reason: DeferReason) -> None:
    strikes, backs_off, paces = POLICY[reason]
    state = given(*TWO, started(A), deferred(A, reason))
    assert state.waiting[A].attempts == 1
    assert state.waiting[A].trials.strikes == int(strikes)
    assert state.failures == int(backs_off)
    assert bool(state.pace.interval) == paces


HOUR = 3_600.0


def failed(reason: DeferReason, *at: float, counts: bool = True) -> list[Record]:
    """The life of A, which was tried at these times and failed."""
    history: list[Record] = [accepted(A)]
    for attempt, moment in enumerate(at, 1):
        history += [started(A, attempt, moment)]
        history += [deferred(A, reason, at=moment, retry_at=moment, counts=counts)]
    return history


def fate(history: list[Record], now: float, reason: DeferReason, *, counts: bool = True) -> Record:
    """What becomes of one more attempt, which fails at `now`."""
    state = given(*history, started(A, len(history), now))
    verdict = Deferred(reason=reason, detail="HTTP 500")
    (record,) = when(  # type: ignore[misc]
        state, finish(A, verdict, counts=counts), now=now, policy=Policy(max_attempts=3)
    )
    assert isinstance(record, Record)
    return record


@REASONS
def test_an_event_is_given_up_after_enough_attempts_that_count_over_an_hour(
    reason: DeferReason,
) -> None:
    history = failed(reason, NOW, NOW + 1800)
    record = fate(history, NOW + HOUR, reason)
    if POLICY[reason][0]:
        assert isinstance(record, EventDeadLettered)
        assert record.reason == "gave_up"
        assert record.detail == (
            "max_attempts: 3 attempts failed in 60 minutes, while PagerDuty accepted other events; "
            "the last: HTTP 500"
        )
    else:
        assert isinstance(record, DeliveryDeferred)
    assert isinstance(fate(history, NOW + HOUR - 1, reason), DeliveryDeferred), "too early"
    assert isinstance(fate(history, NOW + HOUR, reason, counts=False), DeliveryDeferred)


@REASONS
def test_an_event_is_given_up_when_it_has_failed_for_a_day(reason: DeferReason) -> None:
    hours = [NOW + n * HOUR for n in range(24)]
    history = failed(reason, *hours, counts=False)
    assert isinstance(fate(history, NOW + 24 * HOUR - 1, reason, counts=False), DeliveryDeferred)
    record = fate(history, NOW + 24 * HOUR, reason, counts=False)
    if POLICY[reason][0]:
        assert isinstance(record, EventDeadLettered)
        assert record.reason == "gave_up"
        assert record.detail == (
            "give_up_after: all attempts failed for 24 hours; the last: HTTP 500"
        )
    else:
        assert isinstance(record, DeliveryDeferred)


def test_with_never_no_event_is_given_up_for_its_age() -> None:
    history = failed("server_error", *(NOW + n * HOUR for n in range(1_000)), counts=False)
    verdict = Deferred(reason="server_error")
    state = given(*history, started(A, 1_001))
    (record,) = when(  # type: ignore[misc]
        state, finish(A, verdict), now=NOW + 1_000 * HOUR, policy=Policy(give_up_after=math.inf)
    )
    assert isinstance(record, DeliveryDeferred)


def test_a_clock_that_jumps_or_days_without_the_agent_count_as_an_hour_at_most() -> None:
    history = failed("server_error", NOW, NOW + 5 * 24 * HOUR, counts=False)
    late = fate(history, NOW + 10 * 24 * HOUR, "server_error", counts=False)
    assert isinstance(late, DeliveryDeferred)
    assert given(*history).waiting[A].trials.failing_for == HOUR


def test_a_weekend_without_network_does_not_count() -> None:
    history = failed("server_error", NOW, counts=False)
    for attempt in range(2, 60):
        at = NOW + attempt * HOUR
        history += [started(A, attempt, at), deferred(A, "unreachable", at=at)]
    assert isinstance(fate(history, NOW + 60 * HOUR, "server_error"), DeliveryDeferred)
    assert given(*history).waiting[A].trials.failing_for == 0


def test_records_of_the_previous_version_count_as_they_did() -> None:
    state = given(accepted(A), started(A), deferred(A, counts=None))
    event = state.waiting[A].trials
    assert (event.strikes, event.failing_for, event.failed_at) == (1, 0.0, None)


def test_attempts_that_are_nobodys_fault_do_not_count_towards_giving_up() -> None:
    history = [accepted(A)]
    for attempt in range(1, 200):
        reason = "unreachable" if attempt % 2 else "rate_limited"
        history += [started(A, attempt), deferred(A, reason)]
    state = given(*history, started(A, 200))
    (record,) = when(state, finish(A, Deferred(reason="server_error")))  # type: ignore[misc]
    assert isinstance(record, DeliveryDeferred)


def test_while_the_link_fails_for_all_the_probe_says_when_unless_pagerduty_does() -> None:
    for wish, wait in ((None, 0.0), (17.0, 17.0)):
        verdict = Deferred(reason="server_error", retry_after=wish)
        state = given(*TWO, started(A))
        (record,) = when(state, finish(A, verdict, 0.5, link_failing=True))  # type: ignore[misc]
        assert isinstance(record, DeliveryDeferred)
        assert (record.link_failing, record.retry_at) == (True, NOW + wait)
        assert given(*TWO, started(A), record).failures == 0, "the key does not back off"


def test_a_wish_for_no_wait_does_not_make_a_hasty_retry() -> None:
    verdict = Deferred(reason="server_error", retry_after=0.0)
    (record,) = when(given(*TWO, started(A)), finish(A, verdict, chance=0.5))  # type: ignore[misc]
    assert isinstance(record, DeliveryDeferred)
    assert record.retry_at == NOW + 0.5


@REASONS
def test_pagerdutys_wish_to_wait_is_honoured(reason: DeferReason) -> None:
    verdict = Deferred(reason=reason, retry_after=17.0)
    (record,) = when(given(*TWO, started(A)), finish(A, verdict))  # type: ignore[misc]
    assert isinstance(record, DeliveryDeferred)
    assert record.retry_at == NOW + 17


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


def test_what_was_not_sent_makes_the_next_wait_no_longer() -> None:
    state = given(*TWO, started(A), deferred(A, "server_error"), started(A, 2))
    wish = Deferred(reason="not_owner", retry_after=1.0)
    (record,) = when(state, finish(A, wish, chance=0.5))
    assert isinstance(record, DeliveryDeferred)
    assert record.retry_at == record.at + 1.0
    assert given(*TWO, started(A), deferred(A, "server_error"), started(A, 2), record).failures == 1
