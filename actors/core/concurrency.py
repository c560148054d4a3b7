"""How many deliveries at the same time are of use.

Python runs one thread at a time. Senders that are always busy compete for it with the threads that
accept events, and gain nothing: only those that wait for PagerDuty cost nothing. So the quicker
PagerDuty answers, the fewer deliveries are under way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

FEW = 13
"""Deliveries at the same time if PagerDuty answers at once."""

PER_SECOND = 2_500.0
"""Deliveries that the agent can begin in a second, roughly."""

SLOW = 1.0
"""Seconds after which a delivery keeps no other one from beginning."""

_REMEMBERED = 64


class Concurrency:
    """Learns from the attempts that ended how long PagerDuty takes at least."""

    def __init__(self) -> None:
        self._lasted: deque[float] = deque(maxlen=_REMEMBERED)

    def ended(self, seconds: float) -> None:
        """An attempt took so long. The quickest one of the last ones counts: others had to wait."""
        self._lasted.append(seconds)

    def allows(self, count: int, since: Iterable[float], now: float) -> bool:
        """Whether one more may begin beside `count`, of which some are under way `since` then."""
        if count < FEW:
            return True
        limit = FEW + min(self._lasted, default=0.0) * PER_SECOND
        return count < limit or count - sum(now - began > SLOW for began in since) < limit
