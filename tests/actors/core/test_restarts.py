"""How soon an actor that failed is started again, and when it is quarantined."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.core.restarts import (
    FIRST_DELAY,
    LIMIT,
    QUARANTINE_FIRST,
    QUARANTINE_LONGEST,
    WINDOW,
    RestartPolicy,
)


def fail(policy: RestartPolicy, count: int, now: float = 1_000.0) -> list[tuple[float, bool]]:
    """`count` failures a tenth of a second apart."""
    return [policy.failed(now + n / 10) for n in range(count)]


def test_the_first_restart_is_at_once_and_each_further_one_waits_twice_as_long() -> None:
    assert fail(RestartPolicy(), LIMIT) == [
        (0.0, False),
        (FIRST_DELAY, False),
        (FIRST_DELAY * 2, False),
        (FIRST_DELAY * 4, False),
        (FIRST_DELAY * 8, False),
    ]


def test_more_than_five_failures_in_a_minute_mean_quarantine() -> None:
    assert LIMIT == 5
    assert fail(RestartPolicy(), LIMIT + 1)[-1] == (QUARANTINE_FIRST, True)


def test_five_failures_in_each_minute_do_not() -> None:
    policy = RestartPolicy()
    for minute in range(20):
        assert not any(q for _, q in fail(policy, LIMIT, 1_000.0 + minute * (WINDOW + 1)))


def test_each_quarantine_is_longer_than_the_one_before_up_to_ten_minutes() -> None:
    policy = RestartPolicy()
    now = 1_000.0
    waits = []
    for _ in range(8):
        *_, (wait, quarantined) = fail(policy, LIMIT + 1, now)
        assert quarantined
        waits.append(wait)
        now += wait + 1
    assert waits == [30, 60, 120, 240, 480, 600, 600, 600]


def test_after_a_long_time_without_a_failure_all_is_forgiven() -> None:
    policy = RestartPolicy()
    fail(policy, LIMIT + 1)
    later = 1_000.0 + 2 * QUARANTINE_LONGEST
    assert fail(policy, LIMIT + 1, later)[0] == (0.0, False)
    assert fail(RestartPolicy(), LIMIT + 1)[-1] == (QUARANTINE_FIRST, True)


def test_an_actor_that_always_fails_at_once_is_started_once_a_minute_on_average() -> None:
    policy = RestartPolicy()
    now, starts = 0.0, 0
    while now < 3_600:
        now += policy.failed(now)[0]
        starts += 1
    assert 40 <= starts <= 60


@given(st.lists(st.floats(0.0, 1_000.0), max_size=60))
@settings(max_examples=200, deadline=None)
def test_it_is_started_again_whatever_it_does_and_quarantined_only_after_five_in_a_minute(
    pauses: list[float],
) -> None:
    """Each failure comes some time after the start that it ends."""
    policy = RestartPolicy()
    now = 0.0
    recent: list[float] = []
    for pause in pauses:
        now += pause
        wait, quarantined = policy.failed(now)
        recent = [failure for failure in recent if failure > now - WINDOW] + [now]
        assert quarantined == (len(recent) > LIMIT)
        if quarantined:
            recent.clear()
            assert QUARANTINE_FIRST <= wait <= QUARANTINE_LONGEST
        else:
            assert 0.0 <= wait <= FIRST_DELAY * 2**LIMIT
        now += wait
