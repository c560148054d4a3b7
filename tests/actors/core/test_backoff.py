"""The arithmetic of waiting."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.core.pace import BACKOFF_BASE, BACKOFF_CAP, backoff, remaining

FAILURES = st.integers(1, 10_000)
CHANCE = st.floats(0.0, 1.0, exclude_max=True)


@given(FAILURES, CHANCE)
def test_a_wait_is_between_nothing_and_the_doubled_limit_and_never_over_a_minute(
    failures: int, chance: float
) -> None:
    longest = min(BACKOFF_CAP, BACKOFF_BASE * 2.0 ** min(failures - 1, 60))
    assert 0.0 <= backoff(failures, chance) <= longest


@given(FAILURES, CHANCE, CHANCE)
def test_the_jitter_is_full(failures: int, one: float, other: float) -> None:
    """Every wait up to the limit is as likely as any other: the draw alone decides."""
    limit = backoff(failures, 1.0)
    assert backoff(failures, one) == one * limit
    assert (backoff(failures, one) < backoff(failures, other)) == (one * limit < other * limit)


def test_it_doubles_from_one_second_to_sixty() -> None:
    assert [backoff(n, 1.0) for n in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]


@given(st.floats(0, 1e10), st.floats(0, 1e5), st.floats(0, 1e10))
def test_a_wait_ends_and_is_never_longer_than_it_was_meant(
    since: float, length: float, now: float
) -> None:
    until = since + length
    left = remaining(since, until, now)
    assert 0.0 <= left <= until - since
    assert remaining(since, until, until) == 0.0
    if now < since:
        assert left == 0.0, "the clock was set back"
