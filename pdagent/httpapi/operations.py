"""What operators call: status, retry, health."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable

import falcon
import falcon.asgi
import msgspec

from actors.core.commands import Done, Refusal, RetryEvents
from actors.directory import QueueEntry
from pdagent.httpapi import views
from pdagent.httpapi.agent import Agent, perform
from pdagent.httpapi.guard import Secret
from store.records import RoutingKey

_encode = msgspec.json.Encoder().encode


class Operations:
    """The calls about queues; each needs the secret."""

    def __init__(self, agent: Agent, secret: Secret) -> None:
        self._agent = agent
        self._secret = secret

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
                    "started_at": views.timestamp(agent.started_at),
                    "address": agent.config.address,
                },
                "pagerduty": {"events_url": agent.config.events_url, **views.link(agent, now)},
                "totals": agent.system.totals(),
                "queues": self._items(request),
            }
        )

    async def on_get_queue_status(
        self, request: falcon.asgi.Request, response: falcon.asgi.Response
    ) -> None:
        """`GET /queue/status[?rk=KEY]`, as go-pdagent's client asks for it."""
        self._secret.check(request)
        response.data = _encode({"status_items": self._items(request)})

    async def on_post_queue_retry(
        self, request: falcon.asgi.Request, response: falcon.asgi.Response
    ) -> None:
        """`POST /queue/retry[?rk=KEY]`: dead letters to the tail, deferred events at once."""
        self._secret.check(request)
        entries = [e for e in self._wanted(request) if e.state.dead or e.state.failures]
        answers = await asyncio.gather(
            *(perform(self._agent, entry.routing_key, RetryEvents()) for entry in entries)
        )
        refusals = [answer for answer in answers if isinstance(answer, Refusal)]
        if refusals:
            response.status = falcon.HTTP_503
            response.data = _encode({"errors": [refusal.message for refusal in refusals]})
            return
        count = sum(len(answer.events) for answer in answers if isinstance(answer, Done))
        response.data = _encode({"message": f"Retrying {count} events.", "count": count})

    def _wanted(self, request: falcon.asgi.Request) -> list[QueueEntry]:
        directory = self._agent.system.directory
        key = request.get_param("rk")
        if key is None:
            return directory.entries()
        entry = directory.by_key(RoutingKey(key))
        return [] if entry is None else [entry]

    def _items(self, request: falcon.asgi.Request) -> Iterable[views.Json]:
        names = {key: name for name, key in self._agent.config.routing_keys.items()}
        show_keys = request.get_param("show_keys") == "1"
        items = []
        for entry in self._wanted(request):
            key = entry.routing_key
            name = names.get(key) or self._agent.config.name_of(key)
            items.append(views.queue_item(entry, key if show_keys else name))
        return items


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
