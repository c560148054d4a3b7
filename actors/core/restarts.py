"""How often an actor may be restarted, and when: pure, time enters as `now` (monotonic seconds)."""

from __future__ import annotations

from collections import deque

LIMIT = 5
WINDOW = 60.0
FIRST_DELAY = 0.05
QUARANTINE_FIRST = 30.0
QUARANTINE_LONGEST = 600.0


class RestartPolicy:
    """Decides the delay before the next restart of one actor."""

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
            self._quarantines += 1
            wait = QUARANTINE_FIRST * 2.0 ** (self._quarantines - 1)
            return min(QUARANTINE_LONGEST, wait), True
        return (0.0 if count == 1 else FIRST_DELAY * 2.0 ** (count - 2)), False
