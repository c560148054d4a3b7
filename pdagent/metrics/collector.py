"""What `/metrics` shows; reads the actor system at each call. docs/monitoring.md explains."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

import msgspec
from prometheus_client import (
    CollectorRegistry,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
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
from pdagent.metrics import Sources
from pdagent.operating.overview import condition
from pdagent.operating.reading import steady
from store.records import RoutingKey

if TYPE_CHECKING:
    from pdagent.fleet.table import FleetSums

disable_created_metrics()  # type: ignore[no-untyped-call]

UNNAMED = "unnamed"
MOST_NAMES = 500
"""Names beyond these, in the order of the config, are counted as unnamed: labels cost memory."""

_DOWN: dict[LinkState, str] = {
    "unreachable": "For how long PagerDuty can't be reached.",
    "failing": "For how long PagerDuty has answered without accepting an event of any key.",
}


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
        if sources.fleet is not None:
            yield from _hosts(sources.fleet.sums())

    def _queues(self, now: float) -> Iterator[Metric]:
        system = self._sources.system
        sums, entries = system.directory.figures.sums(), system.directory.figures.notable()
        given_up = (
            "Events given up by an operator, overtaken, by the retention or in a full journal."
        )
        yield counter("events_accepted", "Events stored and acknowledged.", sums.accepted)
        yield counter("events_delivered", "Events that PagerDuty took.", sums.delivered)
        yield counter("events_discarded", given_up, sums.discarded)
        yield counter("events_dead_lettered", "Events that became dead letters.", sums.died)

        named = {name: _Sum() for name in (*self._names.values(), UNNAMED)}
        whole, unheld = _Sum(), _Sum()
        for entry in entries:
            whole.add(entry)
            if entry.state.hold is None:
                unheld.add(entry)
            named[self._names.get(entry.routing_key, UNNAMED)].add(entry)
        age, age_unheld = whole.age(now), unheld.age(now)
        text = "Age of the longest waiting event"
        yield gauge("waiting_events", "Events that wait for delivery.", whole.waiting)
        yield gauge("dead_letters", "Dead letters not retried or discarded yet.", whole.dead)
        yield gauge("oldest_waiting_seconds", f"{text}.", age)
        yield gauge("oldest_unheld_seconds", f"{text} that no operator holds.", age_unheld)
        waiting = {name: queues.waiting for name, queues in named.items()}
        letters = {name: queues.dead for name, queues in named.items()}
        ages = {name: queues.age(now) for name, queues in named.items()}
        by_name = "by configured name of"
        yield _by_queue("waiting_events", f"Events that wait, {by_name} their key.", waiting)
        yield _by_queue("dead_letters", f"Dead letters, {by_name} their key.", letters)
        yield _by_queue("oldest_waiting_seconds", f"{text}, {by_name} its key.", ages)

        known = len(system.directory)
        held = sum(entry.state.hold is not None for entry in entries)
        paced = sum(entry.state.pace.interval > 0 for entry in entries)
        backing_off = sum(condition(entry) == "backing_off" for entry in entries)
        quarantined = sum(entry.phase == "quarantined" for entry in entries)
        yield gauge("queues", "Routing keys that have events or history.", known)
        yield gauge("queues_held", "Queues that an operator holds.", held)
        yield gauge("queues_paced", "Queues slowed down after a rate limit.", paced)
        yield gauge("queues_backing_off", "Queues that wait after a failed attempt.", backing_off)
        yield gauge("queues_quarantined", "Queues whose actor is quarantined.", quarantined)

    def _pagerduty(self) -> Iterator[Metric]:
        link, deliveries = self._sources.system.link(), self._sources.deliveries
        lasts = {link.state: link.lasts or 0.0}
        probing = len(lasts.keys() & _DOWN)
        yield gauge("breaker_open", "1 while all keys share one probe.", probing)
        for state, text in _DOWN.items():
            yield gauge(f"{state}_seconds", text, lasts.get(state, 0.0))
        relays = self._sources.relays
        text = "How often another relay than the one before took an event."
        yield counter("relay_switches", text, relays.switches if relays else 0)
        if relays is not None:
            family = InfoMetricFamily("pdagent_relay", "The relay that took the last event.")
            family.add_metric([], {"url": relays.current})
            yield family
        yield gauge("in_flight", "Deliveries under way.", link.in_flight)
        yield gauge("waiting_for_turn", "Queues that wait for a sender.", link.waiting_for_turn)
        yield _by_reason("deferred", "Attempts to be repeated, by reason.", deliveries.deferred)
        seconds = HistogramMetricFamily(
            "pdagent_delivery_seconds", "Length of attempts.", labels=["outcome"]
        )
        for outcome, lengths in deliveries.seconds.items():
            seconds.add_metric([outcome], *lengths.buckets())
        yield seconds

    def _intake(self) -> Iterator[Metric]:
        intake = self._sources.intake
        seconds = HistogramMetricFamily(
            "pdagent_accept_seconds", "From a checked event to its receipt."
        )
        seconds.add_metric([], *intake.seconds.buckets())
        yield seconds
        yield _by_reason("refused", "Valid events refused, by reason.", intake.refused)

    def _journal(self) -> Iterator[Metric]:
        usage, writer = self._sources.journal.usage(), self._sources.system.writer_statistics
        free = max(0, usage.limit - usage.used)
        disk = os.statvfs(self._sources.database)
        disk_free = disk.f_bavail * disk.f_frsize
        replay = self._sources.replay_seconds
        yield gauge("journal_used_bytes", "Room that records take.", usage.used)
        yield gauge("journal_limit_bytes", "New events are refused here.", usage.limit)
        yield gauge("journal_free_bytes", "Room for new events.", free)
        yield gauge("journal_records", "Records kept.", usage.entries)
        yield gauge("journal_disk_free_bytes", "Of its file system.", disk_free)
        yield counter("commits", "Synced transactions.", writer.commits)
        text = "Appends that shared a transaction and its sync."
        sizes = HistogramMetricFamily("pdagent_commit_size", text)
        sizes.add_metric([], *_powers_of_two(writer.sizes, writer.appends))
        yield sizes
        yield counter("commit_seconds", "Time in them.", writer.seconds)
        yield counter("commits_failed", "Transactions that failed.", writer.failures)
        yield gauge("replay_seconds", "How long the start took to read the journal.", replay)

    def _actors(self) -> Iterator[Metric]:
        system = self._sources.system
        accepting = system.admission.refusal is None
        yield gauge("ready", "1 if the agent can do its work.", not system.trouble())
        yield gauge("accepting", "1 if the journal takes new events.", accepting)
        known = {"sequencer": 0, "sender": 0, "writer": 0, "janitor": 0}
        restarts = known | system.restarts
        family = CounterMetricFamily(
            "pdagent_actor_restarts", "Actors that failed and came back.", labels=["actor"]
        )
        for actor, count in restarts.items():
            family.add_metric([actor], count)
        yield family


def text_of(*collectors: Collector) -> Callable[[], bytes]:
    """A function that returns the figures of that moment in Prometheus's text format."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    ProcessCollector(registry=registry)
    return lambda: generate_latest(registry)


def _hosts(sums: FleetSums) -> Iterator[Metric]:
    text = "by the last reports of all hosts"
    yield gauge("fleet_hosts", "Hosts that report to this relay, missing ones too.", sums.hosts)
    yield gauge("fleet_hosts_missing", "Hosts without a report for 90 seconds.", sums.missing)
    yield gauge("fleet_waiting_events", f"Events that wait, {text}.", sums.waiting)
    yield gauge("fleet_dead_letters", f"Dead letters, {text}.", sums.dead_letters)


def counter(name: str, text: str, value: float) -> Metric:
    """One counter; `name` without its prefix."""
    return CounterMetricFamily(f"pdagent_{name}", text, value=value)


def gauge(name: str, text: str, value: float) -> Metric:
    """One gauge; `name` without its prefix."""
    return GaugeMetricFamily(f"pdagent_{name}", text, value=value)


def _by_reason(name: str, text: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(f"pdagent_{name}", text, labels=["reason"])
    for reason, count in counts.items():
        family.add_metric([reason], count)
    return family


def _by_queue(name: str, text: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"pdagent_queue_{name}", text, labels=["queue"])
    for value, figure in values.items():
        family.add_metric([value], figure)
    return family


def _powers_of_two(sizes: Sequence[int], total: float) -> tuple[list[tuple[str, float]], float]:
    """Buckets of `WriterStatistics.sizes`, as Prometheus wants them, and the sum."""
    counts = list(accumulate(sizes))
    bounds = [str(2**n - 1) for n in range(1, len(counts) - 1)]
    return [*zip([*bounds, "+Inf"], map(float, counts[1:]), strict=True)], total
