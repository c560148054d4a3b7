"""Lets only a few Senders compute at the same time.

A thread that waits for Python's interpreter lock wakes up once in each switch interval to ask for
it. Dozens of Senders that do so cost more than what they wait for, and keep the thread of the HTTP
API waiting. One that waits here sleeps until it is its turn.
"""

from __future__ import annotations

import threading
from collections import deque

PLACES = 2
_PATIENCE = 0.25


class Gate:
    """A Sender is inside while it computes, and leaves while it waits for PagerDuty.

    It advises, it does not forbid: one that has waited for 0.25 s goes on all the same, since
    those inside may wait for a disk or for the rest of an answer.
    """

    def __init__(self) -> None:
        self._places = threading.Semaphore(PLACES)
        self._waiting: deque[None] = deque()
        self._mine = threading.local()

    def is_crowded(self) -> bool:
        """Whether a Sender waits for a place just now."""
        return bool(self._waiting)

    def enter(self) -> None:
        """Wait until there is a place for this thread."""
        mine = self._places.acquire(blocking=False)
        if not mine:
            self._waiting.append(None)
            mine = self._places.acquire(timeout=_PATIENCE)
            self._waiting.pop()
        self._mine.place = mine

    def leave(self) -> None:
        """Give the place to another thread, if this one has one."""
        if getattr(self._mine, "place", False):
            self._mine.place = False
            self._places.release()


class NoGate:
    """Lets everybody in."""

    def enter(self) -> None:
        """At once."""

    def leave(self) -> None:
        """Nobody waits for it."""
