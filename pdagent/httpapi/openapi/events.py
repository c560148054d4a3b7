"""JSON Schemas of the events that `pdagent.events.parsing` accepts.

Only what is refused is stated: a value that PagerDuty is not known to refuse passes, whatever its
type. Repairs are in `description`.
"""

from __future__ import annotations

from typing import Any

from pdagent.events import EventKind
from pdagent.events.parsing import ACTIONS, MAX_DEDUP_KEY_CHARACTERS, SEVERITIES
from pdagent.events.timestamps import ISO_8601_OR_EMPTY

Json = dict[str, Any]

# White space alone is blank. Written out, as `\\S` is not the same in Python and in ECMAScript.
_NOT_BLANK = r"[^\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
_NOT_NULL = ["string", "number", "boolean", "array", "object"]
_FILLED: Json = {"type": _NOT_NULL, "minLength": 1, "pattern": _NOT_BLANK}
_SUMMARY: Json = {
    **_FILLED,
    "description": "Text over 1,024 characters is shortened, with a warning in the answer.",
}
_TIMESTAMP: Json = {
    "type": ["string", "null"],
    "pattern": ISO_8601_OR_EMPTY,
    "description": "ISO 8601 date and time at which the tool saw it. Filled with the time of "
    "acceptance when missing or empty.",
    "examples": ["2026-08-01T10:00:00.000Z"],
}
_DEDUP_KEY: Json = {
    "type": ["string", "number", "boolean", "null"],
    "maxLength": MAX_DEDUP_KEY_CHARACTERS,
}
_KEY_TEXT = "Integration key of a PagerDuty service; may also be in the header X-Routing-Key."


def _key(pattern: str = "^[A-Za-z0-9]{32}$", text: str = _KEY_TEXT) -> Json:
    return {"type": "string", "pattern": pattern, "description": text}


def _object(required: str, **properties: Json) -> Json:
    return {"type": "object", "required": required.split(), "properties": properties}


def _entries(address: str, text: str) -> Json:
    item = {"required": [address], "properties": {address: _FILLED}}
    return {"description": text, "items": item}


def _context(kind: str, address: str) -> Json:
    return {
        "if": {"required": ["type"], "properties": {"type": {"const": kind}}, "type": "object"},
        "then": {"required": [address], "properties": {address: _FILLED}},
    }


def _alert(kind: EventKind, action: str) -> Json:
    follow_up = action != ACTIONS[0]
    dedup_key: Json = dict(_DEDUP_KEY)
    if follow_up:
        dedup_key |= {"type": ["string", "number", "boolean"], "minLength": 1}
    if kind == "v1":
        properties: Json = {
            "service_key": _key(),
            "event_type": {"const": action},
            "incident_key": dedup_key,
            "contexts": _CONTEXTS,
        }
        if not follow_up:
            properties["description"] = _SUMMARY
        needed = "incident_key" if follow_up else "description"
        return _object(f"service_key event_type {needed}", **properties)
    properties = {
        "routing_key": _key(),
        "event_action": {"const": action},
        "dedup_key": dedup_key,
        "payload": {"description": "Left out if incomplete."} if follow_up else _PAYLOAD,
        "images": _entries("src", "Images that are not https are left out."),
        "links": _LINKS,
    }
    return _object(
        f"routing_key event_action {'dedup_key' if follow_up else 'payload'}", **properties
    )


_LINKS = _entries("href", "Links that PagerDuty shows.")
_CONTEXTS: Json = {
    "description": "Links and images; images that are not https are left out.",
    "items": {"allOf": [_context("link", "href"), _context("image", "src")]},
}
_PAYLOAD = _object(
    "summary source severity",
    summary=_SUMMARY,
    source=_FILLED,
    severity={"enum": list(SEVERITIES)},
    timestamp=_TIMESTAMP,
)
_CHANGE_KEY = _key(
    "^[A-QS-Za-z0-9][A-Za-z0-9]{31}$",
    f"{_KEY_TEXT} Keys of global rulesets begin with R and take no change events.",
)

EVENTS: dict[EventKind, dict[str, Json]] = {
    "v1": {f"V1{action.capitalize()}": _alert("v1", action) for action in ACTIONS},
    "v2": {action.capitalize(): _alert("v2", action) for action in ACTIONS},
    "change": {
        "Change": _object(
            "routing_key payload",
            routing_key=_CHANGE_KEY,
            payload=_object("summary", summary=_SUMMARY, timestamp=_TIMESTAMP),
            links=_LINKS,
        )
    },
}
"""The schemas of each kind of event, by the name that the document has for them."""
