"""The calls for machines, without a secret: `/health`, `/metrics`, `/openapi.json`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import falcon
import falcon.asgi
import msgspec

from pdagent.httpapi.agent import Agent
from pdagent.httpapi.operators.status import link

_DOCUMENT = Path(__file__).with_name("openapi.json")
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


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


class Liveness:
    """`GET /health/live`: `OK` whenever the process answers."""

    async def on_get(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        """200."""
        response.content_type = falcon.MEDIA_TEXT
        response.text = "OK"


class Metrics:
    """`GET /metrics` for Prometheus, as `text` gives them. Contains no routing key."""

    def __init__(self, text: Callable[[], bytes] | None) -> None:
        self._text = text

    async def on_get(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        """200 and the metrics; a thread collects them, so that 100,000 queues delay no sender."""
        if self._text is None:
            raise falcon.HTTPNotFound
        response.content_type = _METRICS_TYPE
        response.data = await asyncio.to_thread(self._text)


class OpenApi:
    """`GET /openapi.json`: the file `openapi.json` of this package, unchanged."""

    async def on_get(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        """200 and the document."""
        response.content_type = falcon.MEDIA_JSON
        response.data = await asyncio.to_thread(_DOCUMENT.read_bytes)
