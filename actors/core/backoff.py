"""When to try again: pure arithmetic over seconds."""

from __future__ import annotations

BACKOFF_BASE = 1.0
BACKOFF_CAP = 60.0


def backoff(failures: int, chance: float) -> float:
    """Seconds to wait after `failures` (from 1) in a row: exponential with full jitter."""
    return chance * min(BACKOFF_CAP, BACKOFF_BASE * 2.0 ** min(failures - 1, 16))


def remaining(since: float, until: float, now: float) -> float:
    """Seconds left of a wait noted at `since` to end at `until`.

    A wall clock that was set back to before `since` ends the wait: better an early attempt than
    one that is a day late.
    """
    return until - now if since <= now < until else 0.0
