"""`/status` and `/queue/status`. Reads live states without a lock, so it blocks nothing."""

from __future__ import annotations

import asyncio
import os
import time

import falcon
import falcon.asgi
import msgspec

from actors.core.state import QueueState
from actors.directory import QueueEntry
from pdagent.httpapi.agent import Agent
from pdagent.httpapi.operators.selection import OperatorsResource, number_in, with_secret
from pdagent.operating.names import QueueNames
from pdagent.operating.overview import (
    MOST_ROWS,
    SORTS,
    Overview,
    Wanted,
    deferral,
    in_flight_since,
    oldest,
)
from pdagent.operating.reading import steady
from pdagent.operating.rows import Json, timestamp

_MOST_JOBS = 100
_encode = msgspec.json.Encoder().encode


@falcon.before(with_secret)
class Status(OperatorsResource):
    """The agent's and the queues' status, each with the secret."""

    async def on_get(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        """`GET /status[?sort=&match=&limit=&offset=]`: agent, PagerDuty, totals, queues.

        Without a query: all queues in the order of their creation.
        """
        named, wanted = self._selection.named_queues(request), _wanted(request)
        names = self._selection.names_for(request)
        # In a thread: reading many queues must not delay senders.
        response.data = await asyncio.to_thread(self._status, named, wanted, names)

    async def on_get_queues(
        self, request: falcon.asgi.Request, response: falcon.asgi.Response
    ) -> None:
        """`GET /queue/status[?rk=KEY|?queue=NAME]`, as go-pdagent's client calls it.

        A caller that sends a key looks for the whole key in the answer.
        """
        names = self._selection.names_for(request, "1" if request.get_param("rk") else "")
        entries = self._selection.queues(request)
        items = await asyncio.to_thread(lambda: [_item(entry, names) for entry in entries])
        response.data = _encode({"status_items": items})

    def _status(self, named: list[QueueEntry] | None, wanted: Wanted, names: QueueNames) -> bytes:
        agent = self._agent
        overview = Overview(self._selection.known, wanted, agent.system.policy, named)
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
                "pagerduty": {"events_url": agent.config.events_url, **link(agent, time.time())},
                "totals": agent.system.totals(),
                "queues": [_item(entry, names) for entry in overview.rows],
            }
        )


def _wanted(request: falcon.asgi.Request) -> Wanted:
    sort = request.get_param("sort")
    if sort is not None and sort not in SORTS:
        raise falcon.HTTPBadRequest(
            description=f"there is no order 'sort={sort}': use one of {', '.join(SORTS)}"
        )
    return Wanted(
        sort=sort,
        match=request.get_param("match") or "",
        offset=number_in(request, "offset", 0, MOST_ROWS) or 0,
        limit=number_in(request, "limit", 0, MOST_ROWS),
    )


def _item(entry: QueueEntry, names: QueueNames) -> Json:
    state, name = entry.state, names.of(entry.routing_key)
    paced = state.pace.interval > 0
    return {
        "routing_key": entry.routing_key if names.whole else name,
        "queue": name,
        "pending": len(state.waiting),
        "success": state.counters.delivered,
        "error": len(state.dead),
        "discarded": state.counters.discarded,
        "accepted": state.counters.accepted,
        "state": steady(lambda: state.condition),
        "held": state.hold is not None,
        "hold_reason": state.hold,
        "quarantined": entry.phase == "quarantined",
        "deferred_because": deferral(state),
        "paced": paced,
        "calls_per_minute": round(60 / state.pace.interval) if paced else None,
        "oldest_waiting_at": timestamp(oldest(state)),
        "next_attempt_at": timestamp(_next_attempt_at(state)),
        "in_flight_since": timestamp(in_flight_since(state)),
        "last_delivered_at": timestamp(state.last_delivered_at),
        "last_error": state.last_error,
        "last_error_at": timestamp(state.last_error_at),
        "jobs": steady(lambda: _jobs(state)),
    }


def _jobs(state: QueueState) -> list[Json]:
    """The jobs that report their ends: those first that are due first."""
    rows: list[Json] = [
        {
            "dedup_key": key,
            "alert_open": job.alert_open,
            "expected_by": timestamp(job.expected.by if job.expected else None),
        }
        for key, job in state.jobs.items()
    ]
    return sorted(rows, key=lambda row: str(row["expected_by"] or "~"))[:_MOST_JOBS]


def _next_attempt_at(state: QueueState) -> float | None:
    if not state.waiting or state.hold is not None:
        return None
    return state.not_before or None


def link(agent: Agent, now: float) -> Json:
    """The state of the link to PagerDuty as the last deliveries found it, and since when.

    `relay` is the relay that took the last event if relays take them instead of PagerDuty.
    `last_outage_seconds` is the length of the outage that ended at `since`, if there was one.
    """
    seen = agent.system.link()
    outage = seen.last_outage if seen.state == "reachable" else None
    relays = agent.relays
    return {
        "relay": None if relays is None else relays.current,
        "state": seen.state,
        "since": None if seen.lasts is None else timestamp(now - seen.lasts),
        "last_outage_seconds": None if outage is None else round(outage, 1),
        "last_error": seen.last_error,
        "in_flight": seen.in_flight,
        "waiting_for_turn": seen.waiting_for_turn,
    }
