"""What the agent adds to an event when it accepts it."""

from __future__ import annotations

from msgspec import Raw

from pdagent.events import rawjson
from pdagent.events.event import BLANK, MAX_EVENT_BYTES, AgentStamp, ParsedEvent
from pdagent.events.kinds import DEDUP_KEY_NAMES, KEY_NAMES, EventKind
from pdagent.occurrence import utc_timestamp

# What an optional member looks like when its sender left it empty.
_NOTHING = frozenset((b"null", b'""'))


def complete(
    event: ParsedEvent,
    *,
    event_id: str,
    accepted_at: float,
    agent: AgentStamp,
    occurred_at: float | None = None,
) -> ParsedEvent:
    """Add to `event` what it needs to be delivered later, and perhaps twice.

    - A trigger without a dedup key (v1: incident key) gets `event_id`, so that a repeated
      delivery finds the alert that the first one opened.
    - v2 events and change events whose payload has no `timestamp` get the time of occurrence or, if
      that is unknown, of acceptance, in seconds since the epoch. A resolve or acknowledge without
      a payload stays so.
    - v1 events get the `agent` object of PagerDuty's own agents unless the sender put one in; what
      the sender left empty in its own (go-pdagent's client does) is filled in.

    An event that thereby grows over `MAX_EVENT_BYTES` loses its details, as Alertmanager drops them
    (https://github.com/prometheus/alertmanager/issues/2178), with a warning. Completing an event
    again changes nothing.
    """
    members, payload = event.members.copy(), event.payload
    dedup_key = event.dedup_key
    if event.action == "trigger" and not dedup_key:
        dedup_key = event_id
        members[DEDUP_KEY_NAMES[event.kind]] = rawjson.raw(event_id)
    if event.kind == "v1":
        members["agent"] = _stamped(members.get("agent"), _stamp(agent, accepted_at))
    elif payload is not None and _is_empty(payload.get("timestamp")):
        time = utc_timestamp(accepted_at if occurred_at is None else occurred_at)
        payload = {**payload, "timestamp": rawjson.raw(time)}
        members["payload"] = rawjson.raw(payload)
    body = rawjson.write(members)
    warnings = event.warnings
    too_large = len(body) + len(event.routing_key) > MAX_EVENT_BYTES
    if too_large and (lost := _drop_details(event.kind, members)):
        body = rawjson.write(members)
        warnings += (
            f"{lost}: left out, PagerDuty takes events of at most {MAX_EVENT_BYTES:,} bytes",
        )
    return ParsedEvent(
        kind=event.kind,
        routing_key=event.routing_key,
        action=event.action,
        dedup_key=dedup_key,
        members=members,
        payload=payload,
        warnings=warnings,
        written=body,
    )


def resolve_of(trigger: ParsedEvent) -> ParsedEvent:
    """The resolve that ends the alert of a completed trigger."""
    action = "event_type" if trigger.kind == "v1" else "event_action"
    name = DEDUP_KEY_NAMES[trigger.kind]
    members = {
        KEY_NAMES[trigger.kind]: BLANK,
        action: rawjson.raw("resolve"),
        name: trigger.members[name],  # as it is: it may be a number
    }
    return ParsedEvent(
        kind=trigger.kind,
        routing_key=trigger.routing_key,
        action="resolve",
        dedup_key=trigger.dedup_key,
        members=members,
    )


def _drop_details(kind: EventKind, members: rawjson.Members) -> str:
    """Remove the details; returns the path of what is removed, empty if there are none."""
    if kind == "v1":
        return "details" if members.pop("details", None) is not None else ""
    payload = members.get("payload")
    fields = {} if payload is None or _is_empty(payload) else rawjson.members(payload)
    if fields.pop("custom_details", None) is None:
        return ""
    members["payload"] = rawjson.raw(fields)
    return "payload.custom_details"


def _is_empty(value: Raw | None) -> bool:
    return value is None or bytes(value) in _NOTHING


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
