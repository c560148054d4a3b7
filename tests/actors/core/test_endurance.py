"""Every policy for a million rounds: an agent runs for years, and no figure in it may overflow."""

from __future__ import annotations

from actors.core.breaker import PROBE_PAUSE, Breaker
from actors.core.pace import BACKOFF_CAP, DOCUMENTED, SLOWEST, Pace, backoff
from actors.core.restarts import (
    QUARANTINE_LONGEST,
    RETRY_EVERY,
    RestartPolicy,
    SteadyRestarts,
)
from store.records import QueueId

ROUNDS = 1_000_000


def test_restarts() -> None:
    for policy, longest in (
        (RestartPolicy(), QUARANTINE_LONGEST),
        (SteadyRestarts(), RETRY_EVERY),
    ):
        now = 0.0
        for _ in range(ROUNDS):
            wait, _ = policy.failed(now)
            now += wait
        assert wait <= longest
        assert now > ROUNDS / 10, "it was not restarted in a tight loop"


def test_backoff() -> None:
    assert all(0.0 <= backoff(failures, 0.5) <= BACKOFF_CAP for failures in range(1, ROUNDS))


def test_pace() -> None:
    pace, now = Pace(), 0.0
    for _ in range(ROUNDS):
        now += 10.0
        pace.call_refused(now)
        if now % 100 == 0:
            pace.call_taken(now, backlog=True)
    assert DOCUMENTED < pace.interval <= SLOWEST
    for _ in range(ROUNDS):
        now += 10.0
        pace.call_taken(now, backlog=True)
    assert pace.interval == 0.0


def test_breaker() -> None:
    breaker, now = Breaker(), 0.0
    for _ in range(ROUNDS // 2):
        now += PROBE_PAUSE
        assert breaker.allows(now)
        breaker.began(now)
        breaker.unreachable(now, "connection refused")
    for queue in range(ROUNDS // 2):
        now += PROBE_PAUSE
        assert breaker.allows(now)
        breaker.began(now)
        breaker.failed(now, QueueId(queue % 7), "HTTP 503")
    breaker.accepted(now)
    assert breaker.allows(now)
    assert breaker.last_outage == now - PROBE_PAUSE
