"""What operators look at: status, health."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable

import falcon
import falcon.asgi
import msgspec

from actors.directory import QueueEntry
from pdagent.httpapi.agent import Agent
from pdagent.httpapi.guard import Secret
from pdagent.httpapi.operators import views
from pdagent.httpapi.operators.selection import Selection
from pdagent.operating.overview import MOST_ROWS, SORTS, Overview, Wanted
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
        """`GET /status[?sort=&match=&limit=&offset=]`: agent, PagerDuty, totals, queues.

        Without a query all queues are there, in the order in which they came to be.
        """
        self._secret.check(request)
        entries, wanted = self._selection.queues(request), _wanted(request)
        show_keys = request.get_param("show_keys") == "1"
        # In a thread: going over many queues must not hold up who sends events.
        response.data = await asyncio.to_thread(self._status, entries, wanted, show_keys=show_keys)

    async def on_get_queue_status(
        self, request: falcon.asgi.Request, response: falcon.asgi.Response
    ) -> None:
        """`GET /queue/status[?rk=KEY|?queue=NAME]`, as go-pdagent's client asks for it.

        Who names a key knows it, and looks for it in the answer: it is given back whole.
        """
        self._secret.check(request)
        shown = request.get_param("show_keys")
        show_keys = shown == "1" if shown else bool(request.get_param("rk"))
        entries = self._selection.queues(request)
        response.data = await asyncio.to_thread(self._queue_status, entries, show_keys=show_keys)

    def _queue_status(self, entries: list[QueueEntry], *, show_keys: bool) -> bytes:
        return _encode({"status_items": self._items(entries, show_keys=show_keys)})

    def _status(self, entries: list[QueueEntry], wanted: Wanted, *, show_keys: bool) -> bytes:
        agent, now = self._agent, time.time()
        overview = Overview(entries, self._selection.names, wanted, agent.system.policy)
        return _encode(
            {
                "agent": {
                    "version": agent.version,
                    "agent_id": agent.journal.agent_id,
                    "pid": os.getpid(),
                    "started_at": timestamp(agent.started_at),
                    "address": agent.config.address,
                    "trouble": agent.system.trouble(),
                    "warnings": agent.warnings(),
                    "traffic": agent.traffic.report(),
                    "queues": overview.summary(),
                },
                "pagerduty": {"events_url": agent.config.events_url, **views.link(agent, now)},
                "totals": agent.system.totals(),
                "queues": self._items(overview.rows, show_keys=show_keys),
            }
        )

    def _items(self, entries: Iterable[QueueEntry], *, show_keys: bool) -> list[views.Json]:
        names, items = self._selection.names, []
        for entry in entries:
            key = entry.routing_key
            # A name stays what a queue is called, whoever wants to see its key.
            name = key if show_keys and not names.is_configured(key) else names.of(key)
            items.append(views.queue_item(entry, name, key if show_keys else name))
        return items


class Health:
    """`GET /health`: `OK`, or 503 with the reasons."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def on_get(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        """Ready: nothing keeps the agent from storing and delivering. Also at `/health/ready`.

        A second line says so if PagerDuty accepts nothing, which a restart would not mend.
        """
        trouble, pagerduty = self._agent.system.trouble(), views.link(self._agent, time.time())
        if trouble:
            response.status = falcon.HTTP_503
            response.data = _encode({"errors": trouble, "pagerduty": pagerduty})
        else:
            response.content_type = falcon.MEDIA_TEXT
            down = pagerduty["state"] in ("failing", "unreachable")
            said = "\nPagerDuty is {state} since {since}: {last_error}".format(**pagerduty)
            response.text = f"OK{said if down else ''}"

    async def on_get_live(
        self, request: falcon.asgi.Request, response: falcon.asgi.Response
    ) -> None:
        """Live: the process answers, whatever else is wrong: a restart would not mend it."""
        response.content_type = falcon.MEDIA_TEXT
        response.text = "OK"


def _wanted(request: falcon.asgi.Request) -> Wanted:
    sort = request.get_param("sort")
    if sort is not None and sort not in SORTS:
        raise falcon.HTTPBadRequest(
            description=f"there is no order 'sort={sort}': use one of {', '.join(SORTS)}"
        )
    return Wanted(
        sort=sort,
        match=request.get_param("match") or "",
        offset=_count(request, "offset") or 0,
        limit=_count(request, "limit"),
    )


def _count(request: falcon.asgi.Request, name: str) -> int | None:
    text = request.get_param(name)
    if text is None:
        return None
    # First its length: Python refuses to read thousands of digits.
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= MOST_ROWS):
        raise falcon.HTTPBadRequest(description=f"'{name}' must be a number from 0 to {MOST_ROWS}")
    return int(text)
