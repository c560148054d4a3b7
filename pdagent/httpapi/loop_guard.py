"""Refuses what this agent has delivered itself: stored again, it would go round without end."""

from __future__ import annotations

import logging
import time
from urllib.parse import urlsplit

import falcon
import falcon.asgi

from pdagent.httpapi.agent import Agent
from pdagent.httpapi.guard import Header
from pdagent.loops import HEADER, MOST_AGENTS, agents_in

logger = logging.getLogger(__name__)

_LOG_AGAIN_AFTER = 3600.0  # seconds
_HEADER = HEADER.lower()


class LoopGuard:
    """Answers 508, on every path and before any other check.

    A refusal with 401, 403 or 404 would look like PagerDuty's, and end the event.
    """

    def __init__(self, agent: Agent) -> None:
        self._id = agent.journal.agent_id
        self._relays = agent.config.relays
        self._host = urlsplit(agent.config.events_url).hostname
        self._cause = (
            "deliver_via has an address of this agent: set it to PagerDuty's"
            if agent.config.deliver_via
            else "an /etc/hosts entry or a proxy: set deliver_via to PagerDuty's addresses"
        )
        self._log_at = 0.0

    async def process_request(
        self, request: falcon.asgi.Request, response: falcon.asgi.Response
    ) -> None:
        """Falcon calls this before routing."""
        request.context.passed = self.passed(request.get_header)

    def passed(self, header: Header) -> tuple[str, ...]:
        """The ids of the agents that have delivered the event of a request, the latest first.

        Raises 508 for an event that must not go on.
        """
        value = header(_HEADER)
        if value is None:
            return ()
        passed = agents_in(value)
        if self._id not in passed and len(passed) < MOST_AGENTS:
            return passed
        why = self._reason(passed)
        if time.monotonic() >= self._log_at:
            self._log_at = time.monotonic() + _LOG_AGAIN_AFTER
            logger.warning("a delivery was refused: %s (logged at most once an hour)", why)
        raise falcon.HTTPLoopDetected(description=why)

    def _reason(self, passed: tuple[str, ...]) -> str:
        if passed[0] == self._id and self._relays:
            return (
                f"one of relays ({', '.join(self._relays)}) leads to this agent itself: name other "
                "agents there"
            )
        if passed[0] == self._id:
            return (
                f"events_url {self._host} leads to this agent itself: {self._cause} "
                "('pagerduty-agent help built-in-address')"
            )
        return (
            f"agents deliver to each other (the event has passed {len(passed)}, the last was "
            f"agent {passed[0]}): point events_url of one of them to PagerDuty"
        )
