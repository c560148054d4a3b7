"""`GET /metrics` for Prometheus."""

from __future__ import annotations

import asyncio

import falcon
import falcon.asgi

from pdagent.httpapi.agent import Agent

_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """All figures of the agent; no secret is asked for, and no routing key is in them."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def on_get(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        """Collected in a thread: going over 100,000 queues must not hold up who sends events."""
        if self._agent.metrics is None:
            raise falcon.HTTPNotFound
        response.content_type = _CONTENT_TYPE
        response.data = await asyncio.to_thread(self._agent.metrics)
