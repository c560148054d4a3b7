"""When to try again, and how fast a key is served after PagerDuty has limited its rate: pure.

PagerDuty takes about 120 calls of a key in any 60 s
(https://developer.pagerduty.com/docs/events-api-v2/overview/#rate-limits), or fewer where an
account's own limit is lower. How many an account may make is known only from refusals.
"""

from __future__ import annotations

import msgspec

BACKOFF_BASE = 1.0  # seconds
BACKOFF_CAP = 60.0  # seconds

WINDOW = 60.0  # seconds
# A little slower than documented: the network may squeeze two calls together.
DOCUMENTED = WINDOW / 120 * 1.02
SLOWEST = 5.0  # seconds between two calls
FASTEST = 0.05  # seconds between two calls

# With `WINDOW` before it and one call at `SLOWEST` after it: recovered within 2 minutes.
_PERIOD = 50.0
_SPEED_UP = 0.8

# Fewer refusals in a period cost little, while a pace that is too slow makes a backlog grow.
_MANY = 6


class Pace(msgspec.Struct, kw_only=True, gc=False):
    """The seconds between two calls of a key (0: it is not paced), and the answers to the calls.

    `taken` and `refused` count the answers of a period, `pressed` says whether further events
    waited all the time. The period begins at `since`, which may lie ahead: until then, what
    PagerDuty refuses is due to the calls that were made before the key slowed down. The last
    refusal was at `refused_at`.
    """

    interval: float = 0.0
    refused_at: float = 0.0
    since: float = 0.0
    taken: int = 0
    refused: int = 0
    pressed: bool = True

    def call_refused(self, at: float) -> None:
        """PagerDuty limited the rate: go on at the documented one. A burst makes one step."""
        self.refused_at = at
        if self.interval < DOCUMENTED:
            self._go_on(DOCUMENTED, at + WINDOW)
        elif not self._is_settling(at):
            self.refused += 1

    def call_taken(self, at: float, *, backlog: bool) -> None:
        """PagerDuty took an event; `backlog` says whether others wait.

        If PagerDuty kept refusing for a period, at the documented rate or a slower one, go on at
        the rate at which it took calls, but at least at half the last one. Otherwise return to the
        documented rate, then get faster.
        """
        if not self.interval or self._is_settling(at):
            return
        self.taken += 1
        self.pressed = self.pressed and backlog
        length = at - self.since
        keeps_refusing = self.refused >= _MANY and self.refused > self.taken / 2
        if 0 <= length < _PERIOD and not keeps_refusing:
            return
        interval = self.interval
        # The rate of a key that lacks events says nothing about the limit.
        if self.refused >= _MANY and self.pressed and length > 0:
            slower = min(max(length / self.taken, interval), 2 * interval, SLOWEST)
            self._go_on(slower, self.refused_at + WINDOW)
        elif interval > DOCUMENTED:
            self._go_on(DOCUMENTED, at)
        elif not self.refused:
            faster = interval * _SPEED_UP
            self._go_on(faster if faster >= FASTEST else 0.0, at)
        else:
            self._go_on(interval, at)

    def _go_on(self, interval: float, since: float) -> None:
        self.interval, self.since = interval, since
        self.taken = self.refused = 0
        self.pressed = True

    def _is_settling(self, at: float) -> bool:
        # A clock that was set back further ends it.
        return 0 < self.since - at <= WINDOW


def backoff(failures: int, chance: float) -> float:
    """Seconds to wait after `failures` (from 1) in a row: exponential with full jitter."""
    return chance * min(BACKOFF_CAP, BACKOFF_BASE * 2.0 ** min(failures - 1, 16))


def remaining(since: float, until: float, now: float) -> float:
    """Seconds left of a wait noted at `since` to end at `until`.

    A wall clock that was set back to before `since` ends the wait: better an early attempt than
    one that is a day late.
    """
    return until - now if since <= now < until else 0.0
