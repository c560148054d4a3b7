"""A key that met PagerDuty's limit is paced: 120 calls in any 60 s, then slowly faster."""

from __future__ import annotations

from itertools import pairwise

import pytest

from actors.core import backoff
from actors.core.decide import Deliver, WakeAfter
from actors.core.state import QueueState
from store.records import EventId
from tests.actors.core.life import (
    NOW,
    A,
    accepted,
    after,
    deferred,
    delivered,
    given,
    owed,
    started,
)

MINUTE = 60.0
LATENCY = 0.01


def paced(interval: float) -> QueueState:
    """A queue that met the limit now, when there were `interval` seconds between its calls."""
    state = given(accepted(A), started(A, at=NOW))
    state.pace_interval = interval
    return after(state, deferred(A, "rate_limited", at=NOW, retry_at=NOW))


def calls_of(state: QueueState, seconds: float) -> list[float]:
    """When the queue calls PagerDuty if it never lacks events and each is delivered soon."""
    calls = []
    now = NOW
    number = 1
    while now < NOW + seconds:
        match owed(state, now=now):
            case WakeAfter(seconds=wait):
                now += wait
            case Deliver(event=event):
                attempt = state.waiting[event].attempts + 1
                number += 1
                state = after(
                    state,
                    started(event, attempt, at=now),
                    delivered(event, at=now),
                    accepted(EventId(f"{number}"), number, at=now),
                )
                calls.append(now)
                now += LATENCY
    return calls


@pytest.mark.parametrize("before", [0.0, 0.05, 0.2, 0.33, 0.4])
def test_in_the_minute_after_a_limit_there_are_120_calls_at_most(before: float) -> None:
    calls = calls_of(paced(before), MINUTE)
    assert len(calls) <= 120
    assert len(calls) >= 120 * 0.51 / max(0.51, before * 1.5) - 5, "and hardly fewer"


def test_each_limit_makes_it_slower_down_to_one_call_in_five_seconds() -> None:
    intervals = [backoff.slower(0.0)]
    for _ in range(20):
        intervals.append(backoff.slower(intervals[-1]))
    assert intervals == sorted(intervals)
    assert intervals[-1] == backoff.PACE_SLOWEST


def test_while_no_limit_is_met_it_gets_a_quarter_faster_each_minute() -> None:
    calls = calls_of(paced(0.0), 8 * MINUTE)
    per_minute = [
        sum(start <= call - NOW < start + MINUTE for call in calls)
        for start in (minute * MINUTE for minute in range(8))
    ]
    assert per_minute == sorted(per_minute)
    assert all(later <= sooner * 1.3 for sooner, later in pairwise(per_minute)), per_minute


def test_the_pacing_ends_at_twenty_calls_a_second() -> None:
    interval = backoff.PACE_START
    steps = 0
    while interval:
        assert backoff.PACE_END <= interval <= backoff.PACE_START
        interval = backoff.faster(interval)
        steps += 1
    assert 5 < steps < 20


def test_the_wall_clock_set_back_does_not_stop_the_calls() -> None:
    state = paced(0.0)
    assert owed(state, now=NOW - 86_400.0) == Deliver(A)
