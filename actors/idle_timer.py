"""Finds out when a Sequencer has been idle long enough to stop."""

from __future__ import annotations

import time
from typing import Any

import pykka

from actors.messages import IdleCheck
from actors.surroundings import Surroundings

_TOLERANCE = 0.01  # seconds that a message may come too early


class IdleTimer:
    """Sends a Sequencer one `IdleCheck` after the other, from the first time that it is idle."""

    def __init__(self, sequencer: pykka.ActorRef[Any], around: Surroundings) -> None:
        self._sequencer = sequencer
        self._around = around
        self._since: float | None = None  # monotonic seconds, while it is idle
        self._check_pending = False

    def busy(self) -> None:
        """The Sequencer has work."""
        self._since = None

    def idle(self, *, used: bool) -> None:
        """The Sequencer has no work. The time starts anew if it was just `used`."""
        if used or self._since is None:
            self._since = time.monotonic()
            self._check_in(self._around.idle_limit())

    def expire(self) -> None:
        """The Sequencer has no work, and had none when it began: it can stop at once."""
        self._since = time.monotonic() - self._around.passivate_after
        self._check_in(0.0)

    def is_over(self) -> bool:
        """To be asked at each `IdleCheck`: whether the time is over. If not, a next one comes."""
        self._check_pending = False
        if self._since is None:
            return False
        left = self._since + self._around.idle_limit() - time.monotonic()
        if left > _TOLERANCE:
            self._check_in(left)
        return left <= _TOLERANCE

    def _check_in(self, seconds: float) -> None:
        if not self._check_pending:
            self._check_pending = True
            self._around.dispatcher.tell_later(self._sequencer, IdleCheck(), seconds)
