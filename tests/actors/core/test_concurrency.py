"""How many deliveries may be under way, by how fast PagerDuty answers."""

from __future__ import annotations

import pytest

from actors.core.concurrency import FEW, SLOW, Concurrency


def most(concurrency: Concurrency, *, slow: int = 0, of: int = 64) -> int:
    """How many of `of` deliveries begin, if `slow` of them take long."""
    count = 0
    now = 1000.0
    while count < of:
        since = [now - 2 * SLOW] * min(slow, count) + [now] * max(0, count - slow)
        if not concurrency.allows(count, since, now):
            break
        count += 1
    return count


@pytest.mark.parametrize(
    ("seconds", "allowed"), [(0.0, FEW), (0.002, FEW + 5), (0.01, FEW + 25), (0.05, 64), (5.0, 64)]
)
def test_the_longer_pagerduty_takes_the_more_are_under_way(seconds: float, allowed: int) -> None:
    concurrency = Concurrency()
    for _ in range(100):
        concurrency.ended(seconds)
    assert most(concurrency) == allowed


def test_the_quickest_of_the_last_answers_counts() -> None:
    concurrency = Concurrency()
    concurrency.ended(0.0)
    for _ in range(63):
        concurrency.ended(10.0)
    assert most(concurrency) == FEW
    concurrency.ended(10.0)
    assert most(concurrency) == 64


def test_deliveries_that_hang_keep_no_other_from_beginning() -> None:
    assert most(Concurrency(), slow=30) == 30 + FEW
    assert most(Concurrency(), slow=60) == 64
