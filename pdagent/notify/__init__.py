"""Tells people that pages are stuck: alerts about dead letters and full or failing queues through
PagerDuty itself, and a command or an e-mail when PagerDuty can't be reached.
"""

from __future__ import annotations

import socket
from collections.abc import Coroutine

from pdagent.config import needed
from pdagent.httpapi.agent import Agent
from pdagent.notify.alerts import Alerts
from pdagent.notify.conditions import Conditions
from pdagent.notify.outage import OutageNotices
from pdagent.operating.names import QueueNames
from store.records import RoutingKey


class Notifications:
    """What the settings below `notify` ask for. Make it in the event loop, before events come."""

    def __init__(self, agent: Agent) -> None:
        config, host = agent.config, socket.gethostname()
        self._alerts: Alerts | None = None
        self._notices: OutageNotices | None = None
        if config.notify_routing_key:
            key = RoutingKey(config.notify_routing_key)
            conditions = Conditions(
                agent.system, QueueNames(config.routing_keys).of, except_for=key
            )
            self._alerts = Alerts(agent, key, host, conditions)
        if config.notify_command or config.notify_email:
            self._notices = OutageNotices(
                agent,
                host,
                command=config.notify_command,
                email=config.notify_email,
                after=config.notify_unreachable_after,
                told=needed(config.database) / "outage-told",
            )

    def tasks(self) -> list[Coroutine[None, None, None]]:
        """What has to run as long as the agent does."""
        return [part.send_for_ever() for part in (self._alerts, self._notices) if part is not None]

    async def test(self) -> dict[str, str | None]:
        """Use each channel once; by channel, why it failed, None if it did not."""
        found: dict[str, str | None] = {}
        if self._alerts is not None:
            found["routing_key"] = await self._alerts.test()
        if self._notices is not None:
            found |= await self._notices.test()
        return found
