"""Sends PagerDuty a heartbeat of this agent. Failures do not affect deliveries."""

from __future__ import annotations

import logging
import time
from typing import Any

from actors.messages import Due, Report
from actors.ports import Beat
from actors.supervised import SupervisedActor

logger = logging.getLogger(__name__)

INTERVAL = 3600.0  # seconds
RETRY = 60.0  # seconds
RETRIES = 3
_SHORTEST = 60.0  # seconds
_LONGEST = 86_400.0  # seconds


class Heartbeat(SupervisedActor):
    """Beats at the interval (seconds) that PagerDuty's last answer asked for, first hourly."""

    def __init__(self, report: Report, beat: Beat) -> None:
        super().__init__(report)
        self._beat = beat
        self._interval = INTERVAL
        self._failures = 0

    def begin(self) -> None:
        """The first beat comes at once."""
        self.actor_inbox.deadline = time.monotonic()

    def receive(self, message: Any) -> None:
        """`Due` is the only message."""
        match message:
            case Due():
                self.actor_inbox.deadline = time.monotonic() + self._next()

    def _next(self) -> float:
        wanted = self._beat()
        if wanted is None:
            self._failures += 1
            if self._failures <= RETRIES:
                return RETRY
            logger.info("PagerDuty took no heartbeat; the next is due in %.0f s", self._interval)
        elif wanted > 0:
            self._interval = min(_LONGEST, max(_SHORTEST, wanted))
        self._failures = 0
        return self._interval
