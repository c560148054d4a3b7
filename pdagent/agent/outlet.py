"""Where an agent's events go: to PagerDuty, or to relays if its config has some."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import TYPE_CHECKING

from actors.ports import Beat, DeliveryPort, OutgoingEvent
from pdagent import __version__
from pdagent.config import Config
from pdagent.events import with_routing_key
from pdagent.eventsapi.client import EventsApi
from pdagent.eventsapi.heartbeat import HeartbeatApi

if TYPE_CHECKING:
    from actors.system import ActorSystem
    from pdagent.forwarding.choice import RelayChoice
    from pdagent.forwarding.forwarder import Forwarder
    from pdagent.forwarding.resending import Resender
    from pdagent.relay.relay import Relay
    from store.port import Journal


class Outlet:
    """Makes the senders' ports. `relays` is what they all know about the relays, None without.

    `relay` is set if this agent is one itself.
    """

    def __init__(self, config: Config, agent_id: str, relay: Relay | None = None) -> None:
        self.relay = relay
        self._config = config
        self._agent_id = agent_id
        self.relays: RelayChoice | None = None
        if config.relays:
            from pdagent.forwarding.choice import RelayChoice

            self.relays = RelayChoice(config.relays)

    def port(self) -> DeliveryPort:
        """A port for one sender."""
        if self.relays is not None:
            return self._forwarder(self.relays)
        return self._direct() if self.relay is None else self.relay.leased(self._direct)

    def _direct(self, may_send: Callable[[], bool] | None = None) -> EventsApi:
        return EventsApi(
            self._config.events_url,
            user_agent=user_agent(),
            agent_id=self._agent_id,
            deliver_via=self._config.deliver_via,
            render=_render,
            may_send=may_send,
        )

    def beat(self, statistics: Callable[[], dict[str, int]]) -> Beat:
        """What sends PagerDuty a heartbeat."""
        api = HeartbeatApi(
            self._config.api_url,
            agent_id=self._agent_id,
            version=__version__,
            user_agent=user_agent(),
            statistics=statistics,
        )
        return api.beat

    def resender(self, system: ActorSystem, journal: Journal) -> Resender | None:
        """What sends to the relays again what they have lost; None without relays."""
        relays = self.relays
        if relays is None:
            return None
        from pdagent.forwarding.resending import Resender

        return Resender(journal, system.directory, lambda: self._forwarder(relays))

    def _forwarder(self, relays: RelayChoice) -> Forwarder:
        from pdagent.forwarding.forwarder import Forwarder
        from pdagent.forwarding.relay_api import RelayApi

        config = self._config
        return Forwarder(
            relays,
            lambda url: RelayApi(
                url,
                secret=config.relay_secret,
                ca=config.relay_ca,
                user_agent=user_agent(),
                agent_id=self._agent_id,
                render=_render,
            ),
        )


def _render(event: OutgoingEvent) -> bytes:
    return with_routing_key(event.kind, event.body, event.routing_key)


def user_agent() -> str:
    """What PagerDuty sees of us."""
    return f"pdagent/{__version__} ({platform.system()}, Python {platform.python_version()})"
