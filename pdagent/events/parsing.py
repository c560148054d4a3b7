"""From a request's body to a checked event, or to all that is wrong with it.

Hot path: every event comes through here once, with its sender waiting.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from pdagent.events import rawjson
from pdagent.events.bodies import BLANK, KEY_NAMES
from pdagent.events.event import MAX_SUMMARY_CHARACTERS, EventKind, InvalidEvent, ParsedEvent
from pdagent.events.problems import problems_of
from pdagent.events.schemas import AlertEvent, ChangeEvent, V1Event
from pdagent.events.shortening import shorten

_Event = TypeVar("_Event", bound=msgspec.Struct)

_v1 = msgspec.json.Decoder(V1Event)
_v2 = msgspec.json.Decoder(AlertEvent)
_change = msgspec.json.Decoder(ChangeEvent)

# The members that are objects, or lists of objects, of which every member has a meaning.
_RULED_OBJECTS: dict[EventKind, tuple[str, ...]] = {
    "v1": ("contexts",),
    "v2": ("payload", "images", "links"),
    "change": ("payload", "links"),
}
_NOT_UNDERSTOOD = "the event: is not in PagerDuty's format"


def parse_v1(raw: bytes) -> ParsedEvent:
    """Check an event of Events API v1 (`service_key`, `event_type`); raise `InvalidEvent`."""
    body, event = _check("v1", raw, _v1)
    members = rawjson.members(body)
    members["service_key"] = BLANK
    return ParsedEvent(
        kind="v1",
        routing_key=event.service_key,
        action=str(event.__struct_config__.tag),
        dedup_key=event.incident_key or "",
        warnings=_fit_text(members, "description", event.description, "description"),
        body=rawjson.write(members),
    )


def parse_v2(raw: bytes) -> ParsedEvent:
    """Check an alert event of Events API v2; raise `InvalidEvent`."""
    body, event = _check("v2", raw, _v2)
    members = rawjson.members(body)
    members["routing_key"] = BLANK
    summary = event.payload.summary if event.payload is not None else None
    return ParsedEvent(
        kind="v2",
        routing_key=event.routing_key,
        action=str(event.__struct_config__.tag),
        dedup_key=event.dedup_key or "",
        warnings=_fit_summary(members, summary),
        body=rawjson.write(members),
    )


def parse_change(raw: bytes) -> ParsedEvent:
    """Check a change event of Events API v2; raise `InvalidEvent`.

    Keys of global rulesets, which begin with `R`, are refused: PagerDuty takes no change events
    for them.
    """
    body, event = _check("change", raw, _change)
    members = rawjson.members(body)
    members["routing_key"] = BLANK
    return ParsedEvent(
        kind="change",
        routing_key=event.routing_key,
        action="change",
        warnings=_fit_summary(members, event.payload.summary),
        body=rawjson.write(members),
    )


def _check(
    kind: EventKind, raw: bytes, decoder: msgspec.json.Decoder[_Event]
) -> tuple[bytes, _Event]:
    """Return the JSON object and what it decodes to; raise `InvalidEvent`."""
    body = rawjson.without_byte_order_mark(raw)
    try:
        rawjson.check_encoding(body)
        try:
            event = decoder.decode(body)
            rawjson.check_depth(body)
        except (msgspec.DecodeError, RecursionError):
            rawjson.check_object(body)
            problems = problems_of(kind, body, KEY_NAMES[kind])
            raise InvalidEvent(problems or (_NOT_UNDERSTOOD,)) from None
    except rawjson.MalformedJsonError as error:
        raise InvalidEvent((str(error),)) from None
    # Of two members with one name the agent and PagerDuty might read different ones. Only in
    # free-form objects, which no rule looks into, they are the sender's business and pass.
    if _may_repeat_names(kind, body) and (problems := problems_of(kind, body, KEY_NAMES[kind])):
        raise InvalidEvent(problems)
    return body, event


def _may_repeat_names(kind: EventKind, body: bytes) -> bool:
    """Whether a closer look at the names of a valid event's members is needed."""
    compact = rawjson.compact(body)
    members = rawjson.members(compact)
    if rawjson.leaves_room(members, compact):
        return True
    for name in _RULED_OBJECTS[kind]:
        value = members.get(name)
        if value is not None and rawjson.kind_of(value) == "an object":
            if rawjson.leaves_room(rawjson.members(value), value):
                return True
        elif value is not None and rawjson.kind_of(value) == "a list":
            for item in rawjson.items(value):
                if rawjson.leaves_room(rawjson.members(item), item):
                    return True
    return False


def _fit_summary(members: rawjson.Members, summary: str | None) -> tuple[str, ...]:
    if summary is None or len(summary) <= MAX_SUMMARY_CHARACTERS:
        return ()
    payload = rawjson.members(members["payload"])
    warnings = _fit_text(payload, "summary", summary, "payload.summary")
    members["payload"] = rawjson.raw(payload)
    return warnings


def _fit_text(members: rawjson.Members, name: str, text: str | None, path: str) -> tuple[str, ...]:
    """Replace `text` among `members` if PagerDuty would find it too long, and say so."""
    if text is None or len(text) <= MAX_SUMMARY_CHARACTERS:
        return ()
    short = shorten(text, MAX_SUMMARY_CHARACTERS)
    members[name] = rawjson.raw(short)
    return (
        f"{path}: shortened from {len(text):,} to {len(short):,} characters, "
        f"PagerDuty takes {MAX_SUMMARY_CHARACTERS:,}",
    )
