"""The kinds of events, and what differs between them."""

from __future__ import annotations

from typing import get_args

from pdagent.events import rawjson
from store.records import EventKind as EventKind

KINDS: tuple[EventKind, ...] = get_args(EventKind)
"""Events API v1, alert events of v2, change events of v2."""

EVENT_PATHS: dict[EventKind, str] = {
    "v2": "/v2/enqueue",
    "change": "/v2/change/enqueue",
    "v1": "/generic/2010-04-15/create_event.json",
}
"""PagerDuty's path for each kind, at its Events API, at this agent and at the sandbox."""

KEY_NAMES: dict[EventKind, str] = {
    "v1": "service_key",
    "v2": "routing_key",
    "change": "routing_key",
}
"""The member that holds the integration key."""

DEDUP_KEY_NAMES: dict[EventKind, str] = {"v1": "incident_key", "v2": "dedup_key"}
"""The member that names the alert of an event; change events have none."""


def kind_by(members: rawjson.Members) -> EventKind:
    """The kind of an event that nothing else tells.

    v1 has a `service_key` or `event_type`; a change event a payload and nothing of an alert.
    Everything else is checked as an alert event of v2: one that lacks its `event_action` must not
    pass for a change.
    """
    if "event_action" in members or "dedup_key" in members:
        return "v2"
    if "service_key" in members or "event_type" in members:
        return "v1"
    payload = members.get("payload")
    if payload is None or rawjson.kind_of(payload) != "an object":
        return "v2"
    return "v2" if "severity" in rawjson.members(payload) else "change"
