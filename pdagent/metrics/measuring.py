"""What is measured while it happens, at the price of a microsecond."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import get_args

from actors.core.commands import Receipt, Refusal
from actors.core.verdict import DeferReason
from store.records import (
    DeliveryDeferred,
    EventDeadLettered,
    EventDelivered,
    QueueId,
    Record,
)

DELIVERY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
ACCEPT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 20.0)
_REFUSALS = ("queue_full", "journal_full", "unavailable", "unconfirmed", "idempotency_key_reused")


class Histogram:
    """A histogram of seconds that one thread alone adds to: it needs no lock."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def buckets(self) -> tuple[list[tuple[str, float]], float]:
        """As Prometheus wants them: the bounds and how many lie below, and the sum."""
        bounds = [*map(str, self._bounds), "+Inf"]
        return list(zip(bounds, accumulate(map(float, self._counts)), strict=True)), self._sum


class DeliveryMeasurements:
    """An observer of committed records: how long attempts took, and why events were deferred."""

    def __init__(self) -> None:
        outcomes = ("delivered", "deferred", "dead_lettered")
        self.seconds = {outcome: Histogram(DELIVERY_BUCKETS) for outcome in outcomes}
        self.deferred: dict[str, int] = dict.fromkeys(get_args(DeferReason), 0)

    def __call__(self, queue: QueueId, records: Sequence[Record]) -> None:
        """Called in the writer's thread."""
        for record in records:
            match record:
                case EventDelivered(seconds=seconds):
                    self.seconds["delivered"].observe(seconds)
                case DeliveryDeferred(seconds=seconds, reason=reason):
                    self.seconds["deferred"].observe(seconds)
                    self.deferred[reason] = self.deferred.get(reason, 0) + 1
                case EventDeadLettered(seconds=seconds):
                    self.seconds["dead_lettered"].observe(seconds)


class IntakeMeasurements:
    """How long senders waited for their receipt, and how many events were refused, by reason.

    For the event loop alone.
    """

    def __init__(self) -> None:
        self.seconds = Histogram(ACCEPT_BUCKETS)
        self.refused = dict.fromkeys(_REFUSALS, 0)

    def note(self, answer: Receipt | Refusal, seconds: float) -> None:
        """A valid event was stored or refused, `seconds` after it had been read and checked."""
        if isinstance(answer, Receipt):
            self.seconds.observe(seconds)
        else:
            self.refused[answer.reason] = self.refused.get(answer.reason, 0) + 1
