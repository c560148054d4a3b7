"""`/metrics` for Prometheus.

No routing key is ever a label: queues whose key has a name in the config show under that name, all
others together as `unnamed`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from actors.system import ActorSystem
from pdagent.metrics.measuring import DeliveryMeasurements, IntakeMeasurements
from store.port import Journal

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from pdagent.fleet.desk import FleetDesk
    from pdagent.forwarding.choice import RelayChoice


class Sources(msgspec.Struct, kw_only=True, eq=False):
    """Where the figures come from. `replay_seconds`: how long the start took to read the journal.

    `routing_keys` are the config's names and their keys; `relays` is set if relays take the events,
    `fleet` if this is a relay; `further` are a relay's own metrics.
    """

    system: ActorSystem
    journal: Journal
    database: Path
    version: str
    routing_keys: dict[str, str]
    deliveries: DeliveryMeasurements
    intake: IntakeMeasurements
    replay_seconds: float
    relays: RelayChoice | None = None
    fleet: FleetDesk | None = None
    further: Sequence[Collector] = ()


def exposition(sources: Sources) -> Callable[[], bytes]:
    """A function that returns the figures of that moment in Prometheus's text format.

    Prometheus's library comes with an HTTP server and an XML parser, 3 MB in all: an agent that
    nobody asks for metrics does without.
    """
    made: list[Callable[[], bytes]] = []
    lock = threading.Lock()

    def ask() -> bytes:
        with lock:
            if not made:
                from pdagent.metrics.collector import AgentCollector, text_of

                made.append(text_of(AgentCollector(sources), *sources.further))
        return made[0]()

    return ask
