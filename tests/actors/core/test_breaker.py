"""The state of the link, and the breaker: while nothing gets through, one probe a second."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.core.breaker import (
    FEW,
    LONG_PATIENCE,
    LONGEST_PROBE,
    MANY,
    PATIENCE,
    PROBE_PAUSE,
    Breaker,
)
from store.records import QueueId

A, B = QueueId(1), QueueId(2)
BAD = "HTTP 503"


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    breaker.unreachable(now, "connection refused")
    return breaker


def failing(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    breaker.failed(now - PATIENCE, A, BAD)
    breaker.failed(now, B, BAD)
    assert breaker.state == "failing"
    return breaker


def test_it_lets_all_through_while_pagerduty_answers() -> None:
    breaker = Breaker()
    assert breaker.state == "unknown"
    breaker.accepted(3.0)
    assert (breaker.state, breaker.since) == ("reachable", 3.0)
    for now in range(10):
        breaker.began(now)
        assert breaker.allows(now)


def test_the_first_unreachable_attempt_opens_it_and_says_since_when_and_why() -> None:
    breaker = opened(7.0)
    breaker.unreachable(9.0, "timed out")
    assert (breaker.state, breaker.since, breaker.last_error) == ("unreachable", 7.0, "timed out")


def test_a_probe_begins_a_pause_after_the_end_of_the_one_before() -> None:
    for breaker in (opened(), failing()):
        assert not breaker.allows(PROBE_PAUSE - 0.001)
        assert breaker.allows(PROBE_PAUSE)
        breaker.began(5.0)
        assert not breaker.allows(5.9)
        breaker.unreachable(5.9, "timed out")
        assert not breaker.allows(5.9 + PROBE_PAUSE - 0.001)
        assert breaker.allows(5.9 + PROBE_PAUSE)


def test_a_probe_of_which_nothing_comes_does_not_keep_others_from_probing() -> None:
    for breaker, patience in ((opened(), LONGEST_PROBE), (failing(), PROBE_PAUSE)):
        breaker.began(5.0)
        assert not breaker.allows(5.0 + patience - 0.001)
        assert breaker.allows(5.0 + patience)


def test_an_accepted_event_closes_it_and_tells_how_long_the_outage_was() -> None:
    breaker = opened(10.0)
    breaker.failed(15.0, A, BAD)
    assert (breaker.state, breaker.since, breaker.last_error) == ("failing", 15.0, BAD)
    breaker.accepted(30.0)
    assert (breaker.state, breaker.since, breaker.last_outage) == ("reachable", 30.0, 20.0)
    assert breaker.allows(30.0)


def test_an_outage_lasts_on_whatever_its_cause_is_meanwhile() -> None:
    breaker = opened(10.0)
    breaker.failed(20.0, A, BAD)
    assert (breaker.state, breaker.since, breaker.open_since) == ("failing", 20.0, 10.0)
    breaker.unreachable(30.0, "timed out")
    assert (breaker.since, breaker.open_since) == (30.0, 10.0)
    breaker.accepted(40.0)
    assert (breaker.open_since, breaker.last_outage) == (None, 30.0)


def test_two_keys_without_an_accepted_event_for_a_while_mean_that_it_is_failing() -> None:
    breaker = Breaker()
    breaker.failed(0.0, A, BAD)
    breaker.failed(1.0, B, BAD)
    assert breaker.state == "reachable", "it answers, and it is early"
    breaker.failed(PATIENCE, A, BAD)
    assert breaker.state == "failing"


def test_an_accepted_event_begins_the_count_anew() -> None:
    breaker = Breaker()
    for now in range(100):
        breaker.failed(now, A, BAD)
        breaker.failed(now + 0.1, B, BAD)
        breaker.accepted(now + 0.2)
    assert breaker.state == "reachable"


def test_many_failures_at_once_need_no_patience() -> None:
    breaker = Breaker()
    for queue in range(MANY):
        assert breaker.state != "failing"
        breaker.failed(0.0, QueueId(queue), BAD)
    assert breaker.state == "failing"


def test_a_single_key_has_to_fail_a_few_times_for_longer() -> None:
    breaker = Breaker()
    for now in range(int(LONG_PATIENCE)):
        breaker.failed(now, A, BAD)
        assert breaker.state == "reachable"
    breaker.failed(LONG_PATIENCE, A, BAD)
    assert breaker.state == "failing"
    breaker = Breaker()
    for attempt in range(1, FEW):
        breaker.failed(attempt * LONG_PATIENCE, A, BAD)
        assert breaker.state == "reachable"
    breaker.failed(FEW * LONG_PATIENCE, A, BAD)
    assert breaker.state == "failing"


def test_rate_limits_and_suspects_alone_have_more_time_and_have_to_be_several() -> None:
    breaker = Breaker()
    for now in range(int(LONG_PATIENCE)):
        breaker.failed(now, QueueId(now % 7), "HTTP 429", weak=True)
        assert breaker.state == "reachable"
    breaker.failed(LONG_PATIENCE, A, "HTTP 429", weak=True)
    assert breaker.state == "failing"
    breaker = Breaker()
    for now in range(1_000):
        breaker.failed(now, A, BAD, weak=True)
        assert breaker.state == "reachable"


class Callers(RuleBasedStateMachine):
    """Many queues that deliver when the breaker lets them, to a PagerDuty that comes and goes."""

    @initialize()
    def begin(self) -> None:
        self.breaker = Breaker()
        self.now = 0.0
        self.under_way = 0
        self.probed_at = -PROBE_PAUSE

    @rule(seconds=st.floats(0.01, 3.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.breaker.allows(self.now))
    @rule()
    def begin_one(self) -> None:
        if self.breaker.is_open:
            assert self.now - self.probed_at >= PROBE_PAUSE
            self.probed_at = self.now
        self.breaker.began(self.now)
        self.under_way += 1

    @precondition(lambda self: self.under_way)
    @rule(
        outcome=st.sampled_from(["accepted", "failed", "limited", "unreachable"]),
        queue=st.just(A) | st.just(B),
    )
    def end_one(self, outcome: str, queue: QueueId) -> None:
        self.under_way -= 1
        was_open = self.breaker.is_open
        match outcome:
            case "accepted":
                self.breaker.accepted(self.now)
                assert self.breaker.state == "reachable"
            case "unreachable":
                self.breaker.unreachable(self.now, "refused")
                assert self.breaker.state == "unreachable"
            case _:
                self.breaker.failed(self.now, queue, BAD, weak=outcome == "limited")
                assert self.breaker.state == "failing" or not was_open
        if not was_open:
            self.probed_at = self.now - PROBE_PAUSE  # no probe before this outage

    @invariant()
    def something_will_be_allowed_again(self) -> None:
        if hasattr(self, "breaker"):
            assert self.breaker.allows(self.now + LONGEST_PROBE)


TestCallers = Callers.TestCase
TestCallers.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
