"""When to try again: pure arithmetic over seconds."""

from __future__ import annotations

BACKOFF_BASE = 1.0
BACKOFF_CAP = 60.0

# PagerDuty counts about 120 calls of one key over the last 60 s; a little slower stays below that
# even when the network squeezes two calls together.
PACE_START = 60 / 120 * 1.02
PACE_SLOWEST = 5.0
PACE_END = 0.05
PACE_STEP_AFTER = 60.0
PACE_FASTER = 0.8
PACE_SLOWER = 1.5


def backoff(failures: int, chance: float) -> float:
    """Seconds to wait after `failures` (from 1) in a row: exponential with full jitter."""
    return chance * min(BACKOFF_CAP, BACKOFF_BASE * 2.0 ** min(failures - 1, 16))


def slower(interval: float) -> float:
    """Seconds between calls after PagerDuty limited the rate; `interval` 0 means not paced yet.

    Never faster than what PagerDuty documents, however fast it went well before.
    """
    return min(PACE_SLOWEST, max(PACE_START, interval * PACE_SLOWER))


def faster(interval: float) -> float:
    """Seconds between calls after a minute without a limit; 0 ends the pacing."""
    interval *= PACE_FASTER
    return interval if interval >= PACE_END else 0.0


def remaining(since: float, until: float, now: float) -> float:
    """Seconds left of a wait noted at `since` to end at `until`.

    A wall clock that was set back to before `since` ends the wait: better an early attempt than
    one that is a day late.
    """
    return until - now if since <= now < until else 0.0
