"""The calls for machines, without a secret: `/health`, `/metrics`, `/openapi.json`."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import falcon
import falcon.asgi
import msgspec

from pdagent.httpapi.agent import Agent
from pdagent.httpapi.operators.status import link

_DOCUMENT = Path(__file__).with_name("openapi.json")
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Health:
    """`GET /health`: `OK`, or 503 with the reasons."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def on_get(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        """Whether the agent can store and deliver. Also at `/health/ready`.

        If PagerDuty accepts nothing, a second line says so: a restart would not help.
        """
        trouble, pagerduty = self._agent.system.trouble(), link(self._agent, time.time())
        if trouble:
            response.status = falcon.HTTP_503
            response.data = msgspec.json.encode({"errors": trouble, "pagerduty": pagerduty})
        else:
            response.content_type = falcon.MEDIA_TEXT
            down = pagerduty["state"] in ("failing", "unreachable")
            who = self._agent.config.delivers_to
            detail = f"\n{who} is {{state}} since {{since}}: {{last_error}}".format(**pagerduty)
            response.text = f"OK{detail if down else ''}"

    async def on_get_live(
        self, request: falcon.asgi.Request, response: falcon.asgi.Response
    ) -> None:
        """`OK` whenever the process answers."""
        response.content_type = falcon.MEDIA_TEXT
        response.text = "OK"


class Metrics:
    """`GET /metrics` for Prometheus. Contains no routing key."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def on_get(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        """200 and the metrics; a thread collects them, so that 100,000 queues delay no sender."""
        if self._agent.metrics is None:
            raise falcon.HTTPNotFound
        response.content_type = METRICS_TYPE
        response.data = await asyncio.to_thread(self._agent.metrics)


class OpenApi:
    """`GET /openapi.json`: the file `openapi.json` of this package, unchanged."""

    async def on_get(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        """200 and the document."""
        response.content_type = falcon.MEDIA_JSON
        response.data = await asyncio.to_thread(_DOCUMENT.read_bytes)
