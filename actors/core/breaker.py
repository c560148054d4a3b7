"""The state of the link to PagerDuty, and the breaker that all queues share while it is down.

Pure: time enters as `now` (monotonic seconds).
"""

from __future__ import annotations

from typing import Literal

from store.records import QueueId

LinkState = Literal["unknown", "reachable", "failing", "unreachable"]

PROBE_PAUSE = 1.0
"""Seconds from the end of a probe to the next. With a connect timeout of about 3 s, deliveries
resume within 5 s of PagerDuty's return."""

LONGEST_PROBE = 4.0
"""Seconds after which another probe starts although the last one has no result yet."""

PATIENCE = 2.0
"""Seconds without an accepted event after which failures of several queues mean `failing`."""

LONG_PATIENCE = 60.0
"""The same for one queue alone, for rate limits (PagerDuty accepts 120 calls of a key in any 60 s)
and for events that failed while others were accepted."""

MANY = 20
"""Failed attempts in a row after which the link is `failing` without waiting for `PATIENCE`."""

FEW = 3
"""Failed attempts in a row that are needed if they all concern one queue."""


class Breaker:
    """Closed while PagerDuty accepts events, or may; open, one probe follows the other.

    A probe is an ordinary delivery. The link is `failing` when PagerDuty answers, but has accepted
    nothing for a while, and not for one queue alone if there are others. Then a probe can take
    long, and the next does not wait for its end: one event must not keep the others from being
    tried. `since` is when `state` began, `last_outage` (seconds) how long it was open last.
    """

    def __init__(self) -> None:
        self.state: LinkState = "unknown"
        self.since: float | None = None
        self.last_outage: float | None = None
        self.last_error: str | None = None
        self._open_since = 0.0
        self._next_probe = 0.0
        self._failed = 0
        self._failed_since = 0.0
        self._queue: QueueId | None = None
        self._several = False

    @property
    def is_open(self) -> bool:
        """Whether queues share one probe."""
        return self.state in ("failing", "unreachable")

    @property
    def open_since(self) -> float | None:
        """Since when it is open, whatever the cause was meanwhile; None if it isn't."""
        return self._open_since if self.is_open else None

    def allows(self, now: float) -> bool:
        """Whether a delivery may begin; if it does, call `began`."""
        return not self.is_open or now >= self._next_probe

    def began(self, now: float) -> None:
        """A delivery begins; while the breaker is open, it is a probe."""
        self._next_probe = now + (PROBE_PAUSE if self.state == "failing" else LONGEST_PROBE)

    def accepted(self, now: float) -> None:
        """PagerDuty took an event, or refused it for good: it works."""
        if self.is_open:
            self.last_outage = now - self._open_since
        self._enter("reachable", now)
        self._failed = 0

    def failed(self, now: float, queue: QueueId, error: str, *, weak: bool = False) -> None:
        """An attempt of `queue` was answered, or may have been, and nothing accepted.

        `weak`: the cause is a rate limit, or an event that failed while others were accepted.
        """
        if not self._failed:
            self._failed_since, self._queue, self._several = now, queue, False
        self._failed += 1
        self._several |= queue != self._queue
        strong = self._several and not weak
        lasts = now - self._failed_since >= (PATIENCE if strong else LONG_PATIENCE)
        lasts |= self._failed >= MANY and strong
        if self.is_open or (lasts and (self._several or (self._failed >= FEW and not weak))):
            self._enter("failing", now)
            self.last_error = error
        elif self.state == "unknown":
            self._enter("reachable", now)

    def unreachable(self, now: float, error: str) -> None:
        """An attempt did not get as far as PagerDuty."""
        self._enter("unreachable", now)
        self.last_error = error

    def looped(self, now: float, error: str) -> None:
        """An attempt came back to an agent: with others it would be the same."""
        self._enter("failing", now)
        self.last_error = error

    def _enter(self, state: LinkState, now: float) -> None:
        if not self.is_open:
            self._open_since = now
        self._next_probe = now + PROBE_PAUSE
        if state != self.state:
            self.state, self.since = state, now
