"""What is measured while it happens, at the price of a few microseconds."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import get_args

from prometheus_client import Counter, Histogram, disable_created_metrics
from prometheus_client.core import HistogramMetricFamily, Metric

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

disable_created_metrics()  # type: ignore[no-untyped-call]


class DeliveryMeasurements:
    """An observer of committed records: how long attempts took, and why events were deferred."""

    def __init__(self) -> None:
        self.seconds = Histogram(
            "pdagent_delivery_seconds",
            "Length of attempts.",
            ["outcome"],
            buckets=DELIVERY_BUCKETS,
            registry=None,
        )
        self.deferred = _counter("deferred", "Attempts to be repeated, by reason.")
        outcomes = ("delivered", "deferred", "dead_lettered")
        self._delivered, self._deferred, self._dead = map(self.seconds.labels, outcomes)
        for reason in get_args(DeferReason):
            self.deferred.labels(reason)

    def __call__(self, queue: QueueId, record: Record) -> None:
        """Called in the writer's thread."""
        match record:
            case EventDelivered(seconds=seconds):
                self._delivered.observe(seconds)
            case DeliveryDeferred(seconds=seconds, reason=reason):
                self._deferred.observe(seconds)
                self.deferred.labels(reason).inc()
            case EventDeadLettered(seconds=seconds):
                self._dead.observe(seconds)


class AcceptSeconds:
    """A histogram for the event loop alone: prometheus_client's takes two locks for each event."""

    def __init__(self) -> None:
        self._counts = [0] * (len(ACCEPT_BUCKETS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one event."""
        self._counts[bisect_left(ACCEPT_BUCKETS, seconds)] += 1
        self._sum += seconds

    def collect(self) -> list[Metric]:
        """As prometheus_client's histograms."""
        bounds = [*map(str, ACCEPT_BUCKETS), "+Inf"]
        found = list(zip(bounds, accumulate(self._counts), strict=True))
        text = "From a checked event to its receipt."
        return [HistogramMetricFamily("pdagent_accept_seconds", text, found, self._sum)]


class IntakeMeasurements:
    """How long senders waited for their receipt, and how many events were refused, by reason."""

    def __init__(self) -> None:
        self.seconds = AcceptSeconds()
        self.refused = _counter("refused", "Valid events refused, by reason.")
        for reason in _REFUSALS:
            self.refused.labels(reason)

    def note(self, answer: Receipt | Refusal, seconds: float) -> None:
        """A valid event was stored or refused, `seconds` after it had been read and checked."""
        if isinstance(answer, Receipt):
            self.seconds.observe(seconds)
        else:
            self.refused.labels(answer.reason).inc()


def _counter(name: str, text: str) -> Counter:
    return Counter(f"pdagent_{name}", text, ["reason"], registry=None)
