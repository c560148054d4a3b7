"""What is measured while it happens, at the price of a few hundred nanoseconds."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
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


class Histogram:
    """Counts durations (seconds) by upper bound. One thread observes, any thread reads."""

    def __init__(self, bounds: Iterable[float]) -> None:
        self.bounds = tuple(bounds)
        self._counts = [0] * (len(self.bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration; a bound counts what is equal to it, as Prometheus has it."""
        self._counts[bisect_left(self.bounds, seconds)] += 1
        self._sum += seconds

    def cumulative(self) -> tuple[list[tuple[str, float]], float]:
        """Buckets as Prometheus wants them, (upper bound, count up to it), and the sum."""
        buckets, total = [], 0
        counts = list(self._counts)
        for bound, count in zip((*self.bounds, float("inf")), counts, strict=True):
            total += count
            buckets.append(("+Inf" if bound == float("inf") else repr(bound), float(total)))
        return buckets, self._sum


class DeliveryMeasurements:
    """An observer of committed records: how long attempts took, and why events were deferred."""

    def __init__(self) -> None:
        self.seconds = {
            "delivered": Histogram(DELIVERY_BUCKETS),
            "deferred": Histogram(DELIVERY_BUCKETS),
            "dead_lettered": Histogram(DELIVERY_BUCKETS),
        }
        self.deferred: dict[str, int] = dict.fromkeys(get_args(DeferReason), 0)

    def __call__(self, queue: QueueId, record: Record) -> None:
        """Called in the writer's thread."""
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

    Written by the HTTP API's event loop alone.
    """

    def __init__(self) -> None:
        self.seconds = Histogram(ACCEPT_BUCKETS)
        self.refused: dict[str, int] = dict.fromkeys(
            ("queue_full", "journal_full", "unavailable", "unconfirmed", "idempotency_key_reused"),
            0,
        )

    def note(self, answer: Receipt | Refusal, seconds: float) -> None:
        """A valid event was stored or refused, `seconds` after it had been read and checked."""
        if isinstance(answer, Receipt):
            self.seconds.observe(seconds)
        else:
            self.refused[answer.reason] = self.refused.get(answer.reason, 0) + 1
