"""How often an actor may be restarted, and when: pure, time enters as `now` (monotonic seconds)."""

from __future__ import annotations

from collections import deque

LIMIT = 5
WINDOW = 60.0  # seconds
FIRST_DELAY = 0.05  # seconds
QUARANTINE_FIRST = 30.0  # seconds
QUARANTINE_LONGEST = 600.0  # seconds
RETRY_EVERY = 1.0  # seconds


class SteadyRestarts:
    """The delay before the next restart of an actor without which no queue works: never long."""

    def __init__(self) -> None:
        self._last = -RETRY_EVERY

    def failed(self, now: float) -> tuple[float, bool]:
        """As `RestartPolicy.failed`: restarts are at least `RETRY_EVERY` apart, none is refused."""
        delay = max(0.0, self._last + RETRY_EVERY - now)
        self._last = now + delay
        return delay, False


class RestartPolicy:
    """Decides the delay before the next restart of one queue's actor."""

    def __init__(self) -> None:
        self._restarts: deque[float] = deque()
        self._quarantines = 0
        self._last = 0.0

    def failed(self, now: float) -> tuple[float, bool]:
        """Note a failure; return seconds to wait and whether the wait is a quarantine.

        The first failure restarts at once; each further one in `WINDOW` doubles the delay; more
        than `LIMIT` in it mean quarantine, each longer than the one before.
        """
        while self._restarts and self._restarts[0] <= now - WINDOW:
            self._restarts.popleft()
        if now - self._last > QUARANTINE_LONGEST + WINDOW:
            self._quarantines = 0
        self._last = now
        self._restarts.append(now)
        count = len(self._restarts)
        if count > LIMIT:
            self._restarts.clear()
            wait = min(QUARANTINE_LONGEST, QUARANTINE_FIRST * 2.0**self._quarantines)
            self._quarantines = min(self._quarantines + 1, 16)  # 2.0 ** 1024 is an error
            return wait, True
        return (0.0 if count == 1 else FIRST_DELAY * 2.0 ** (count - 2)), False
