"""A key that met PagerDuty's limit is paced, close to what PagerDuty takes of it."""

from __future__ import annotations

import random
from collections import deque
from itertools import pairwise

import pytest
from hypothesis import given as over
from hypothesis import settings
from hypothesis import strategies as st

from actors.core import pace
from actors.core.commands import Command, Policy, StartDelivery
from actors.core.decide import Deliver, WakeAfter, decide
from actors.core.evolve import evolve
from actors.core.pace import DOCUMENTED, FASTEST, SLOWEST, Pace
from actors.core.state import QueueState
from actors.core.verdict import Deferred, Delivered
from store.records import EventId
from tests.actors.core.life import NOW, A, accept, accepted, after, deferred, finish, given, owed
from tests.actors.core.life import started as begun

MINUTE = 60.0
POLICY = Policy(max_queue_length=10**9)


class LimitedKey:
    """A queue that never lacks events, and a PagerDuty that takes `limit` calls in any 60 s.

    `calls` are the times of all calls since the start and whether PagerDuty took them.
    """

    def __init__(self, limit: int, seed: int, *, refusals_count: bool = False) -> None:
        self.limit = limit
        self.calls: list[tuple[float, bool]] = []
        self.state = given()
        self._refusals_count = refusals_count
        self._chance = random.Random(seed)
        self._now = NOW
        self._number = 0
        self._window: deque[float] = deque()

    def run(self, seconds: float) -> None:
        end = self._now + seconds
        while self._now < end:
            while len(self.state.waiting) < 2:
                self._number += 1
                self._do(accept(EventId(f"{self._number}")))
            match owed(self.state, now=self._now):
                case WakeAfter(seconds=wait):
                    self._now += max(wait, 1e-6)
                case Deliver(event=event):
                    self._do(StartDelivery())
                    verdict = self._call()
                    self._now += 0.02 + self._chance.random() * 0.1
                    self._do(finish(event, verdict, self._chance.random()))

    def share_refused(self) -> float:
        return sum(not taken for _, taken in self.calls) / len(self.calls)

    def taken_per_minute(self) -> float:
        return sum(taken for _, taken in self.calls) / ((self._now - NOW) / MINUTE)

    def _call(self) -> Delivered | Deferred:
        while self._window and self._window[0] <= self._now - MINUTE:
            self._window.popleft()
        taken = len(self._window) < self.limit
        if taken or self._refusals_count:
            self._window.append(self._now)
        self.calls.append((self._now - NOW, taken))
        return Delivered(status=202) if taken else Deferred(reason="rate_limited")

    def _do(self, command: Command) -> None:
        records = decide(self.state, command, self._now, POLICY)
        assert isinstance(records, list)
        for record in records:
            evolve(self.state, record)


@pytest.mark.parametrize("refusals_count", [False, True], ids=["taken", "all"])
@pytest.mark.parametrize(
    ("limit", "least", "most_refused"), [(120, 0.88, 0.03), (100, 0.7, 0.1), (60, 0.72, 0.15)]
)
@settings(max_examples=8, deadline=None)
@over(seed=st.integers(0, 10**6))
def test_a_backlog_is_delivered_about_as_fast_as_pagerduty_takes_it(
    limit: int, least: float, most_refused: float, refusals_count: bool, seed: int
) -> None:
    """Whether refused calls count against the limit as well is not documented."""
    key = LimitedKey(limit, seed, refusals_count=refusals_count)
    key.run(15 * MINUTE)
    assert key.taken_per_minute() >= least * limit
    assert key.share_refused() <= most_refused


@over(seed=st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_the_documented_rate_is_back_within_two_minutes_of_the_last_refusal(seed: int) -> None:
    """The account's limit was 10 calls a minute for some time."""
    key = LimitedKey(10, seed)
    key.run(10 * MINUTE)
    while key.state.pace.interval <= DOCUMENTED:
        key.run(1.0)
    key.limit = 10**6
    before = len(key.calls)
    last_refusal = max(at for at, taken in key.calls if not taken)
    key.run(4 * MINUTE)
    assert all(taken for _, taken in key.calls[before:])
    recovered = max(last_refusal + 2 * MINUTE, key.calls[before][0] + 1)
    times = [at for at, _ in key.calls if at > recovered]
    assert times[1] - times[0] <= DOCUMENTED + 0.15
    assert len(times) >= (10 * MINUTE + 4 * MINUTE - recovered) / (DOCUMENTED + 0.15) - 1


def limited(interval: float, times: list[float]) -> QueueState:
    """A queue that was refused at these times, when there were `interval` seconds between calls."""
    state = given(accepted(A))
    state.own_pace().interval = interval
    for attempt, at in enumerate(times, 1):
        state = after(state, begun(A, attempt, at), deferred(A, "rate_limited", at=at, retry_at=at))
    return state


@pytest.mark.parametrize("interval", [0.0, FASTEST, 0.2, 0.4])
@over(st.lists(st.floats(0, MINUTE), min_size=1, max_size=30))
@settings(max_examples=30)
def test_a_burst_of_refusals_is_one_step_to_the_documented_rate(
    interval: float, offsets: list[float]
) -> None:
    state = limited(interval, [NOW, *(NOW + offset for offset in sorted(offsets))])
    assert state.pace.interval == DOCUMENTED
    assert 60 / DOCUMENTED <= 120


@pytest.mark.parametrize("interval", [DOCUMENTED, 1.0, SLOWEST])
@over(st.integers(1, 40))
@settings(max_examples=20)
def test_a_burst_at_a_paced_key_is_one_step_to_half_the_rate_at_most(
    interval: float, refusals: int
) -> None:
    state = Pace(interval=interval, since=NOW)
    for number in range(refusals):
        state.call_refused(NOW + 1 + number / 10)
        state.call_taken(NOW + 1 + number / 10, backlog=True)
    assert interval <= state.interval <= min(2 * interval, SLOWEST)


@over(st.lists(st.tuples(st.floats(0.51, 30), st.integers(0, 9), st.booleans()), max_size=200))
def test_single_refusals_never_slow_a_key_below_the_documented_rate(
    calls: list[tuple[float, int, bool]],
) -> None:
    """One in ten at random, as a limit of the account looks to one of its many keys."""
    now = NOW
    state = Pace(interval=DOCUMENTED, since=now)
    since_refusal = 10
    for wait, draw, backlog in calls:
        now += wait
        since_refusal += 1
        if draw == 0 and since_refusal > 15:
            since_refusal = 0
            state.call_refused(now)
        else:
            state.call_taken(now, backlog=backlog)
        assert state.interval <= DOCUMENTED


def test_refusals_of_a_key_that_lacks_events_say_nothing_about_its_rate() -> None:
    state = Pace(interval=DOCUMENTED, since=NOW)
    for number in range(100):
        state.call_refused(NOW + 10 * number)
        state.call_taken(NOW + 10 * number + 5, backlog=False)
    assert state.interval == DOCUMENTED


def test_while_no_limit_is_met_it_gets_a_quarter_faster_a_minute_until_it_is_free() -> None:
    key = LimitedKey(10**6, 0)
    key.state.own_pace().call_refused(NOW)
    intervals: list[float] = []
    while key.state.pace.interval:
        key.run(1.0)
        intervals.append(key.state.pace.interval)
    steps = sorted(set(intervals), reverse=True)
    assert steps[0] == DOCUMENTED
    assert steps[-2] >= FASTEST
    assert intervals == sorted(intervals, reverse=True)
    assert all(later >= 0.75 * sooner for sooner, later in pairwise(steps[:-1]))
    assert len(intervals) >= 50 * (len(steps) - 1)


def test_the_wall_clock_set_back_stops_neither_the_calls_nor_the_recovery() -> None:
    day_before = NOW - 86_400.0
    state = limited(1.0, [NOW])
    assert owed(state, now=day_before) == Deliver(A)
    state.pace.call_taken(day_before, backlog=True)
    assert state.pace.interval == DOCUMENTED
    assert pace.DOCUMENTED > 0.5
