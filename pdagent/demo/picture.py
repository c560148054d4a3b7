"""One moment of the demo: what the views draw."""

from __future__ import annotations

from typing import Literal

import msgspec

AgentState = Literal["starting", "running", "killed"]
Reachability = Literal["up", "down"]


class Chapter(msgspec.Struct, frozen=True):
    """A sentence of the story, told `at` seconds after the beginning."""

    at: float
    text: str


class QueueCounts(msgspec.Struct, frozen=True):
    """One queue, as the agent counts its events."""

    name: str
    accepted: int = 0
    delivered: int = 0
    waiting: int = 0


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """What can be seen `at` seconds after the beginning; `refused` tries were not acknowledged."""

    at: float
    agent: AgentState
    pid: int | None
    pagerduty: Reachability
    chapters: tuple[Chapter, ...]
    queues: tuple[QueueCounts, ...]
    refused: int
    finished: bool = False

    @property
    def total(self) -> QueueCounts:
        """All queues together."""
        return QueueCounts(
            "all",
            sum(queue.accepted for queue in self.queues),
            sum(queue.delivered for queue in self.queues),
            sum(queue.waiting for queue in self.queues),
        )
