"""`/metrics` for Prometheus: reads the actor system when it is asked. docs/monitoring.md explains.

No routing key is ever a label: queues whose key has a name in the config show under that name, all
others together as `unnamed`.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from actors.core.breaker import LinkState
from actors.directory import QueueEntry
from actors.system import ActorSystem
from pdagent.metrics.measuring import DeliveryMeasurements, Histogram, IntakeMeasurements
from pdagent.operating.overview import condition
from pdagent.operating.reading import steady
from store.port import Journal
from store.records import RoutingKey

UNNAMED = "unnamed"
MOST_NAMES = 500
"""Names beyond these, in the order of the config, are counted as unnamed: labels cost memory."""

_DOWN: dict[LinkState, str] = {
    "unreachable": "For how long PagerDuty can't be reached.",
    "failing": "For how long PagerDuty has answered without accepting an event of any key.",
}


class Sources(msgspec.Struct, kw_only=True, eq=False):
    """Where the figures come from. `replay_seconds`: how long the start took to read the journal.

    `routing_keys` are the config's names and their keys.
    """

    system: ActorSystem
    journal: Journal
    database: Path
    version: str
    routing_keys: dict[str, str]
    deliveries: DeliveryMeasurements
    intake: IntakeMeasurements
    replay_seconds: float


class _Sum(msgspec.Struct):
    """Queues counted together."""

    waiting: int = 0
    dead: int = 0
    oldest: float | None = None

    def add(self, entry: QueueEntry) -> None:
        state = entry.state
        self.waiting += len(state.waiting)
        self.dead += len(state.dead)
        oldest = steady(lambda: state.oldest_accepted_at)
        if oldest is not None:
            self.oldest = oldest if self.oldest is None else min(self.oldest, oldest)

    def age(self, now: float) -> float:
        return 0.0 if self.oldest is None else max(0.0, now - self.oldest)


class AgentCollector(Collector):
    """Everything about one agent; may be asked from any thread."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        named = list(sources.routing_keys.items())[:MOST_NAMES]
        self._names = {RoutingKey(key): name for name, key in named}

    def collect(self) -> Iterator[Metric]:
        """All families, as they are now."""
        sources = self._sources
        build = InfoMetricFamily("pdagent_build", "What runs.")
        build.add_metric([], {"version": sources.version, "python": platform.python_version()})
        yield build
        yield from self._queues(time.time())
        yield from self._pagerduty()
        yield from self._intake()
        yield from self._journal()
        yield from self._actors()

    def _queues(self, now: float) -> Iterator[Metric]:
        system = self._sources.system
        totals = system.totals()
        entries, forgotten = system.directory.totals()
        for name, key, text in (
            ("accepted", "accepted", "Events stored and acknowledged."),
            ("delivered", "delivered", "Events that PagerDuty took."),
            (
                "discarded",
                "discarded",
                "Events given up by an operator, by the retention or in a full journal.",
            ),
        ):
            yield _counter(f"pdagent_events_{name}", text, totals[key])
        dead = forgotten.dead_lettered
        dead += sum(entry.state.counters.dead_lettered for entry in entries)
        yield _counter("pdagent_events_dead_lettered", "Events that became dead letters.", dead)

        named = {name: _Sum() for name in self._names.values()}
        named[UNNAMED] = _Sum()
        whole, unheld = _Sum(), _Sum()
        for entry in entries:
            whole.add(entry)
            if entry.state.hold is None:
                unheld.add(entry)
            named[self._names.get(entry.routing_key, UNNAMED)].add(entry)
        yield _gauge("pdagent_waiting_events", "Events that wait for delivery.", whole.waiting)
        yield _gauge("pdagent_dead_letters", "Dead letters that nobody has dealt with.", whole.dead)
        yield _gauge(
            "pdagent_oldest_waiting_seconds", "Age of the longest waiting event.", whole.age(now)
        )
        yield _gauge(
            "pdagent_oldest_unheld_seconds",
            "Age of the longest waiting event that no operator holds.",
            unheld.age(now),
        )
        yield _labelled(
            "pdagent_queue_waiting_events",
            "Events that wait, by configured name of their key.",
            "queue",
            {name: queues.waiting for name, queues in named.items()},
        )
        yield _labelled(
            "pdagent_queue_dead_letters",
            "Dead letters, by configured name of their key.",
            "queue",
            {name: queues.dead for name, queues in named.items()},
        )
        yield _labelled(
            "pdagent_queue_oldest_waiting_seconds",
            "Age of the longest waiting event, by configured name of its key.",
            "queue",
            {name: queues.age(now) for name, queues in named.items()},
        )
        yield _gauge("pdagent_queues", "Routing keys that have events or history.", len(entries))
        held = sum(entry.state.hold is not None for entry in entries)
        yield _gauge("pdagent_queues_held", "Queues that an operator holds.", held)
        paced = sum(entry.state.pace.interval > 0 for entry in entries)
        yield _gauge("pdagent_queues_paced", "Queues slowed down after a rate limit.", paced)
        backing_off = sum(condition(entry) == "backing_off" for entry in entries)
        yield _gauge(
            "pdagent_queues_backing_off", "Queues that wait after a failed attempt.", backing_off
        )
        quarantined = sum(entry.phase == "quarantined" for entry in entries)
        yield _gauge("pdagent_queues_quarantined", "Queues whose actor rests.", quarantined)

    def _pagerduty(self) -> Iterator[Metric]:
        link = self._sources.system.link()
        lasts = {link.state: link.lasts or 0.0}
        yield _gauge(
            "pdagent_breaker_open", "1 while all keys share one probe.", len(lasts.keys() & _DOWN)
        )
        for state, text in _DOWN.items():
            yield _gauge(f"pdagent_{state}_seconds", text, lasts.get(state, 0.0))
        yield _gauge("pdagent_in_flight", "Deliveries under way.", link.in_flight)
        yield _gauge(
            "pdagent_waiting_for_turn", "Queues that wait for a sender.", link.waiting_for_turn
        )
        deliveries = self._sources.deliveries
        deferred = CounterMetricFamily(
            "pdagent_deferred", "Attempts to be repeated, by reason.", labels=["reason"]
        )
        for reason, count in list(deliveries.deferred.items()):
            deferred.add_metric([reason], count)
        yield deferred
        yield _histogram(
            "pdagent_delivery_seconds", "Length of attempts.", "outcome", deliveries.seconds
        )

    def _intake(self) -> Iterator[Metric]:
        intake = self._sources.intake
        accepted = HistogramMetricFamily(
            "pdagent_accept_seconds", "From a checked event to its receipt."
        )
        accepted.add_metric([], *intake.seconds.cumulative())
        yield accepted
        refused = CounterMetricFamily(
            "pdagent_refused", "Valid events refused, by reason.", labels=["reason"]
        )
        for reason, count in list(intake.refused.items()):
            refused.add_metric([reason], count)
        yield refused

    def _journal(self) -> Iterator[Metric]:
        usage = self._sources.journal.usage()
        yield _gauge("pdagent_journal_used_bytes", "Room that records take.", usage.used)
        yield _gauge("pdagent_journal_limit_bytes", "New events are refused here.", usage.limit)
        free = max(0, usage.limit - usage.used)
        yield _gauge("pdagent_journal_free_bytes", "Room for new events.", free)
        yield _gauge("pdagent_journal_records", "Records kept.", usage.entries)
        disk = os.statvfs(self._sources.database)
        yield _gauge(
            "pdagent_journal_disk_free_bytes", "Of its file system.", disk.f_bavail * disk.f_frsize
        )
        writer = self._sources.system.writer_statistics
        yield _counter("pdagent_commits", "Synced transactions.", writer.commits)
        sizes = HistogramMetricFamily(
            "pdagent_commit_size", "Appends that shared a transaction and its sync."
        )
        sizes.add_metric([], *_powers_of_two(writer.sizes, writer.appends))
        yield sizes
        yield _counter("pdagent_commit_seconds", "Time in them.", writer.seconds)
        yield _counter("pdagent_commits_failed", "Transactions that failed.", writer.failures)
        yield _gauge(
            "pdagent_replay_seconds",
            "How long the start took to read the journal.",
            self._sources.replay_seconds,
        )

    def _actors(self) -> Iterator[Metric]:
        system = self._sources.system
        yield _gauge("pdagent_ready", "1 if the agent can do its work.", not system.trouble())
        yield _gauge(
            "pdagent_accepting",
            "1 if the journal takes new events.",
            system.admission.refusal is None,
        )
        restarts = CounterMetricFamily(
            "pdagent_actor_restarts", "Actors that failed and came back.", labels=["actor"]
        )
        known = {"sequencer": 0, "sender": 0, "writer": 0, "timer": 0, "janitor": 0}
        for actor, count in (known | system.statistics.restarts).items():
            restarts.add_metric([actor], count)
        yield restarts


def exposition(sources: Sources) -> Callable[[], bytes]:
    """A function that returns the figures of that moment in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(AgentCollector(sources))
    ProcessCollector(registry=registry)
    return lambda: generate_latest(registry)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _labelled(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, figure in values.items():
        family.add_metric([value], figure)
    return family


def _histogram(name: str, text: str, label: str, values: Mapping[str, Histogram]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=[label])
    for value, histogram in values.items():
        family.add_metric([value], *histogram.cumulative())
    return family


def _powers_of_two(sizes: Sequence[int], total: float) -> tuple[list[tuple[str, float]], float]:
    """Buckets of `WriterStatistics.sizes`, as Prometheus wants them, and the sum."""
    counts = list(accumulate(sizes))
    bounds = [str(2**n - 1) for n in range(1, len(counts) - 1)]
    return [*zip([*bounds, "+Inf"], map(float, counts[1:]), strict=True)], total
