"""One thread for all delayed messages."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import time
from typing import Any

import pykka

from actors.messages import Due, Report, Schedule
from actors.supervised import SupervisedActor


class Timer(SupervisedActor):
    """Keeps a heap of what is due when. A message for an actor that died meanwhile is dropped."""

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self._heap: list[tuple[float, int, Schedule]] = []
        self._order = itertools.count()

    def receive(self, message: Any) -> None:
        """`Schedule` adds, `Due` fires."""
        match message:
            case Schedule():
                due = time.monotonic() + message.seconds
                heapq.heappush(self._heap, (due, next(self._order), message))
            case Due():
                self._fire(time.monotonic())
        self.actor_inbox.deadline = self._heap[0][0] if self._heap else None

    def _fire(self, now: float) -> None:
        while self._heap and self._heap[0][0] <= now:
            _, _, scheduled = heapq.heappop(self._heap)
            with contextlib.suppress(pykka.ActorDeadError):
                scheduled.to.tell(scheduled.message)
