"""A relay's metrics; docs/monitoring.md explains them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pdagent.metrics.collector import counter, gauge
from pdagent.relay.watch import EngineView

if TYPE_CHECKING:
    from pdagent.relay.relay import Relay


class RelayCollector(Collector):
    """May be asked from any thread; asks the engine nothing."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def collect(self) -> Iterator[Metric]:
        """All families, as they are now."""
        relay, owner = self._relay, self._relay.role == "owner"
        keeper, log, past = relay.keeper, relay.log, relay.past
        view = EngineView() if relay.watch is None else relay.watch.view
        yield gauge("relay_owner", "1 on the relay that owns the log.", owner)
        held = keeper is not None and keeper.holds()
        yield gauge("relay_lease_held", "1 while the relay may deliver.", held)
        lags = GaugeMetricFamily(
            "pdagent_relay_standby_lag", "Messages that a standby is behind.", labels=["relay"]
        )
        for row in view.standbys:
            if row.name != relay.owner.name:
                lags.add_metric([row.name], row.behind)
        yield lags
        yield gauge("relay_engine_nodes", "Nodes that the engine should have.", view.expected)
        yield gauge("relay_engine_nodes_up", "Nodes that answer.", len(view.nodes))
        silent = 0.0 if keeper is None else keeper.silent_for()
        yield gauge("relay_engine_silent_seconds", "Without an answer of the engine.", silent)
        yield gauge("relay_log_bytes", "Of the log on one node.", view.bytes)
        appends, seconds = (0, 0.0) if log is None else (log.appends, log.seconds)
        yield counter("relay_appends", "Messages that the engine confirmed.", appends)
        yield counter("relay_append_seconds", "Time in them.", seconds)
        yield counter("relay_takeovers", "How often this relay took the log over.", past.takeovers)
        yield counter("relay_fenced", "How often another relay took it from this one.", past.lost)
