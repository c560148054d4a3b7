"""What status shows of a queue. Reads live states without a lock, so nothing here can block."""

from __future__ import annotations

from actors.core.state import QueueState
from actors.directory import QueueEntry
from pdagent.httpapi.agent import Agent
from pdagent.operating.overview import deferral, in_flight_since, oldest
from pdagent.operating.reading import steady
from pdagent.operating.rows import timestamp

Json = dict[str, object]


def queue_item(entry: QueueEntry, name: str, routing_key: str) -> Json:
    """One queue as `/queue/status` and `/status` show it; `routing_key` may be masked."""
    state = entry.state
    waiting = len(state.waiting)
    return {
        "routing_key": routing_key,
        "queue": name,
        "pending": waiting,
        "success": state.counters.delivered,
        "error": len(state.dead),
        "discarded": state.counters.discarded,
        "accepted": state.counters.accepted,
        "state": steady(lambda: state.condition),
        "held": state.hold is not None,
        "hold_reason": state.hold,
        "quarantined": entry.phase == "quarantined",
        "deferred_because": deferral(state),
        "paced": state.pace.interval > 0,
        "calls_per_minute": round(60 / state.pace.interval) if state.pace.interval > 0 else None,
        "oldest_waiting_at": timestamp(oldest(state)),
        "next_attempt_at": timestamp(_next_attempt_at(state)),
        "in_flight_since": timestamp(in_flight_since(state)),
        "last_delivered_at": timestamp(state.last_delivered_at),
        "last_error": state.last_error,
        "last_error_at": timestamp(state.last_error_at),
    }


def _next_attempt_at(state: QueueState) -> float | None:
    if not state.waiting or state.hold is not None:
        return None
    return state.not_before or None


def link(agent: Agent, now: float) -> Json:
    """The state of the link to PagerDuty, as far as deliveries have told, and since when.

    `last_outage_seconds` is the length of the outage that ended at `since`, if one did.
    """
    seen = agent.system.link()
    outage = seen.last_outage if seen.state == "reachable" else None
    return {
        "state": seen.state,
        "since": None if seen.lasts is None else timestamp(now - seen.lasts),
        "last_outage_seconds": None if outage is None else round(outage, 1),
        "last_error": seen.last_error,
        "in_flight": seen.in_flight,
        "waiting_for_turn": seen.waiting_for_turn,
    }
