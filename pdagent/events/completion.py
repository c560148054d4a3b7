"""What the agent adds to an event when it accepts it."""

from __future__ import annotations

from msgspec import Raw

from pdagent.events import rawjson
from pdagent.events.event import (
    MAX_EVENT_BYTES,
    MAX_SUMMARY_CHARACTERS,
    AgentStamp,
    ParsedEvent,
)
from pdagent.events.kinds import DEDUP_KEY_NAMES, EventKind
from pdagent.events.shortening import shorten
from pdagent.events.timestamps import utc_timestamp

_TOO_LARGE = f"PagerDuty takes events of at most {MAX_EVENT_BYTES:,} bytes"
# What an event is nothing without.
_KEPT: dict[EventKind, frozenset[str]] = {
    "v1": frozenset(("service_key", "event_type", "incident_key", "description")),
    "v2": frozenset(("routing_key", "event_action", "dedup_key", "payload")),
    "change": frozenset(("routing_key", "payload")),
}
_KEPT_IN_PAYLOAD = frozenset(("summary", "source", "severity", "timestamp"))
# What an optional member looks like when its sender left it empty.
_NOTHING = frozenset((b"null", b'""'))


def complete(
    event: ParsedEvent, *, event_id: str, accepted_at: float, agent: AgentStamp
) -> ParsedEvent:
    """Add to `event` what it needs to be delivered later, and perhaps twice.

    - A trigger without a dedup key (v1: incident key) gets `event_id`, so that a repeated
      delivery finds the alert that the first one opened.
    - v2 events and change events whose payload has no `timestamp` get the time of acceptance,
      `accepted_at` in seconds since the epoch. A resolve or acknowledge without a payload stays so.
    - v1 events get the `agent` object of PagerDuty's own agents unless the sender put one in; what
      the sender left empty in its own (go-pdagent's client does) is filled in.

    An event that thereby grows over `MAX_EVENT_BYTES` loses its details, as Alertmanager drops them
    (https://github.com/prometheus/alertmanager/issues/2178), with a warning. Completing an event
    again changes nothing.
    """
    members = rawjson.members(event.body)
    dedup_key = event.dedup_key
    if event.action == "trigger" and not dedup_key:
        dedup_key = event_id
        members[DEDUP_KEY_NAMES[event.kind]] = rawjson.raw(event_id)
    if event.kind == "v1":
        members["agent"] = _stamped(members.get("agent"), _stamp(agent, accepted_at))
    elif (payload := members.get("payload")) is not None:
        members["payload"] = _timed(payload, accepted_at)
    body = rawjson.write(members)
    warnings = event.warnings
    room = MAX_EVENT_BYTES - len(event.routing_key)
    if len(body) > room:
        body, lost = _without_details(event.kind, members, room)
        warnings += (lost,)
    return ParsedEvent(
        kind=event.kind,
        routing_key=event.routing_key,
        action=event.action,
        dedup_key=dedup_key,
        body=body,
        warnings=warnings,
    )


def _without_details(kind: EventKind, members: rawjson.Members, room: int) -> tuple[bytes, str]:
    """Return the event without its details, and a warning.

    If the bulk is elsewhere, all that is optional goes, and long required values are shortened.
    """
    payload: rawjson.Members = {}
    if kind == "v1":
        members.pop("details", None)
    elif not _is_empty(members.get("payload")):
        payload = rawjson.members(members["payload"])
        payload.pop("custom_details", None)
        members["payload"] = rawjson.raw(payload)
    body = rawjson.write(members)
    if len(body) <= room:
        name = "details" if kind == "v1" else "payload.custom_details"
        return body, f"{name}: left out, {_TOO_LARGE}"
    members = {name: value for name, value in members.items() if name in _KEPT[kind]}
    for owner, name in ((payload, "summary"), (payload, "source"), (members, "description")):
        if len(value := owner.get(name, b"")) > MAX_SUMMARY_CHARACTERS:
            owner[name] = rawjson.raw(shorten(rawjson.as_text(Raw(value)), MAX_SUMMARY_CHARACTERS))
    if payload:
        kept = {name: value for name, value in payload.items() if name in _KEPT_IN_PAYLOAD}
        members["payload"] = rawjson.raw(kept)
    return rawjson.write(members), f"the event: all optional fields left out, {_TOO_LARGE}"


def _is_empty(value: Raw | None) -> bool:
    return value is None or bytes(value) in _NOTHING


def _timed(payload: Raw, accepted_at: float) -> Raw:
    """The payload with a timestamp."""
    if _is_empty(payload):
        return payload
    members = rawjson.members(payload)
    if not _is_empty(members.get("timestamp")):
        return payload
    return rawjson.raw({**members, "timestamp": rawjson.raw(utc_timestamp(accepted_at))})


def _stamp(agent: AgentStamp, accepted_at: float) -> dict[str, str]:
    return {
        "queued_by": agent.queued_by,
        "queued_at": utc_timestamp(accepted_at),
        "agent_id": agent.agent_id,
    }


def _stamped(given: Raw | None, stamp: dict[str, str]) -> Raw:
    """The event's `agent` object: `stamp`, or what was given with its empty members filled in."""
    if given is None or _is_empty(given):
        return rawjson.raw(stamp)
    if rawjson.kind_of(given) != "an object":
        return given
    members = rawjson.members(given)
    empty = [name for name in stamp if name in members and _is_empty(members[name])]
    if not empty:
        return given
    return rawjson.raw({**members, **{name: rawjson.raw(stamp[name]) for name in empty}})
