"""What operators look at: status, health."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

import falcon
import falcon.asgi
import msgspec

from pdagent.httpapi import views
from pdagent.httpapi.agent import Agent
from pdagent.httpapi.guard import Secret
from pdagent.httpapi.selection import Selection
from pdagent.operating.rows import timestamp

_encode = msgspec.json.Encoder().encode


class Operations:
    """The calls about queues; each needs the secret."""

    def __init__(self, agent: Agent, secret: Secret, selection: Selection) -> None:
        self._agent = agent
        self._secret = secret
        self._selection = selection

    async def on_get_status(
        self, request: falcon.asgi.Request, response: falcon.asgi.Response
    ) -> None:
        """`GET /status`: agent, PagerDuty, totals, queues."""
        self._secret.check(request)
        agent, now = self._agent, time.time()
        response.data = _encode(
            {
                "agent": {
                    "version": agent.version,
                    "agent_id": agent.journal.agent_id,
                    "pid": os.getpid(),
                    "started_at": timestamp(agent.started_at),
                    "address": agent.config.address,
                    "traffic": agent.traffic.report(),
                },
                "pagerduty": {"events_url": agent.config.events_url, **views.link(agent, now)},
                "totals": agent.system.totals(),
                "queues": self._items(request),
            }
        )

    async def on_get_queue_status(
        self, request: falcon.asgi.Request, response: falcon.asgi.Response
    ) -> None:
        """`GET /queue/status[?rk=KEY|?queue=NAME]`, as go-pdagent's client asks for it."""
        self._secret.check(request)
        response.data = _encode({"status_items": self._items(request)})

    def _items(self, request: falcon.asgi.Request) -> Iterable[views.Json]:
        show_keys = request.get_param("show_keys") == "1"
        names = self._selection.names
        return [
            views.queue_item(entry, entry.routing_key if show_keys else names.of(entry.routing_key))
            for entry in self._selection.queues(request)
        ]


class Health:
    """`GET /health`: `OK`, or 503 with the reasons."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def on_get(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        """Live because it answers; ready if nothing keeps it from storing and delivering."""
        trouble = self._agent.system.trouble()
        if trouble:
            response.status = falcon.HTTP_503
            response.data = _encode({"errors": trouble})
        else:
            response.content_type = falcon.MEDIA_TEXT
            response.text = "OK"
