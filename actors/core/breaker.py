"""The circuit breaker that all queues share: pure, time enters as `now` (monotonic seconds)."""

from __future__ import annotations

# A failing probe takes at most the connect timeout (about 3 s); with the pause before the next
# one, deliveries begin again within 5 s of PagerDuty's return.
PROBE_PAUSE = 1.0


class Breaker:
    """Closed while PagerDuty can be reached; open, it lets one probe through at a time.

    A probe is an ordinary delivery, so an event that waits is what finds out.
    """

    def __init__(self) -> None:
        self.open_since: float | None = None
        self.last_error: str | None = None
        self._next_probe = 0.0
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether the last that was heard is that PagerDuty can't be reached."""
        return self.open_since is not None

    def allows(self, now: float) -> bool:
        """Whether a delivery may begin; while open, True must be followed by `probe_started`."""
        return not self.is_open or (not self._probing and now >= self._next_probe)

    def probe_started(self) -> None:
        """A delivery begins while open."""
        self._probing = True

    def unreachable(self, now: float, error: str, *, was_probe: bool) -> None:
        """An attempt did not get as far as PagerDuty."""
        if self.open_since is None:
            self.open_since = now
        self.last_error = error
        self._next_probe = now + PROBE_PAUSE
        if was_probe:
            self._probing = False

    def reached(self) -> None:
        """PagerDuty answered, whatever it said."""
        self.open_since = None
        self._probing = False

    def probe_lost(self) -> None:
        """A probe told nothing: its turn was given back, or its sender died."""
        self._probing = False
