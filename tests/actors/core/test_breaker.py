"""The circuit breaker: after the first unreachable attempt, one probe at a time."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.core.breaker import PROBE_PAUSE, Breaker


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    breaker.unreachable(now, "connection refused", was_probe=False)
    return breaker


def test_it_lets_all_through_while_pagerduty_answers() -> None:
    breaker = Breaker()
    assert not breaker.is_open
    assert all(breaker.allows(now) for now in range(10))


def test_the_first_unreachable_attempt_opens_it_and_says_since_when_and_why() -> None:
    breaker = opened(7.0)
    breaker.unreachable(9.0, "timed out", was_probe=False)
    assert (breaker.open_since, breaker.last_error) == (7.0, "timed out")


def test_a_probe_may_begin_after_the_pause_and_no_other_beside_it() -> None:
    breaker = opened()
    assert not breaker.allows(PROBE_PAUSE - 0.001)
    assert breaker.allows(PROBE_PAUSE)
    breaker.probe_started()
    assert not breaker.allows(100.0)


def test_a_failed_probe_is_followed_by_a_pause_and_the_next() -> None:
    breaker = opened()
    breaker.probe_started()
    breaker.unreachable(5.0, "connection refused", was_probe=True)
    assert not breaker.allows(5.0 + PROBE_PAUSE - 0.001)
    assert breaker.allows(5.0 + PROBE_PAUSE)
    assert breaker.open_since == 0.0


def test_an_attempt_that_was_under_way_before_does_not_end_the_probe() -> None:
    breaker = opened()
    breaker.probe_started()
    breaker.unreachable(1.0, "timed out", was_probe=False)
    assert not breaker.allows(50.0)


def test_a_probe_that_is_lost_makes_room_for_the_next() -> None:
    breaker = opened()
    breaker.probe_started()
    breaker.probe_lost()
    assert breaker.allows(PROBE_PAUSE)


def test_any_answer_closes_it() -> None:
    breaker = opened()
    breaker.probe_started()
    breaker.reached()
    assert not breaker.is_open
    assert breaker.allows(0.0)


class Callers(RuleBasedStateMachine):
    """Many queues that deliver when the breaker lets them, to a PagerDuty that comes and goes."""

    @initialize()
    def begin(self) -> None:
        self.breaker = Breaker()
        self.now = 0.0
        self.ordinary = 0
        self.probing = False
        self.ended_at = -1.0

    @rule(seconds=st.floats(0.01, 3.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.breaker.allows(self.now))
    @rule()
    def begin_one(self) -> None:
        if self.breaker.is_open:
            assert not self.probing, "one probe at a time"
            assert self.now >= self.ended_at + PROBE_PAUSE
            self.breaker.probe_started()
            self.probing = True
        else:
            self.ordinary += 1

    @precondition(lambda self: self.probing)
    @rule(answered=st.booleans())
    def end_probe(self, answered: bool) -> None:
        self.probing = False
        if answered:
            self.breaker.reached()
        else:
            self.breaker.unreachable(self.now, "refused", was_probe=True)
            self.ended_at = self.now

    @precondition(lambda self: self.ordinary and not self.probing)
    @rule(answered=st.booleans())
    def end_ordinary(self, answered: bool) -> None:
        self.ordinary -= 1
        if answered:
            self.breaker.reached()
        else:
            self.breaker.unreachable(self.now, "refused", was_probe=False)
            self.ended_at = self.now

    @precondition(lambda self: self.probing)
    @rule()
    def lose_probe(self) -> None:
        self.probing = False
        self.breaker.probe_lost()

    @invariant()
    def something_will_be_allowed_again(self) -> None:
        if hasattr(self, "breaker") and not self.probing:
            assert self.breaker.allows(self.now + PROBE_PAUSE)


TestCallers = Callers.TestCase
TestCallers.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
