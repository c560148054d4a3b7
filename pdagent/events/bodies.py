"""Reading and completing the bodies of checked events."""

from __future__ import annotations

from msgspec import Raw

from pdagent.events import rawjson
from pdagent.events.event import MAX_SUMMARY_CHARACTERS
from pdagent.events.kinds import KEY_NAMES, EventKind

BLANK = Raw(b'""')


def with_routing_key(kind: EventKind, body: bytes, routing_key: str) -> bytes:
    """Put the key back into its place in the `body` of a `ParsedEvent`, as PagerDuty wants it.

    Raises `msgspec.DecodeError` if `body` is not a JSON object, which no accepted event has.
    """
    members = rawjson.members(body)
    members[KEY_NAMES[kind]] = rawjson.raw(routing_key)
    return rawjson.write(members)


def summary_of(kind: EventKind, body: bytes) -> str:
    """Return what an event says for people: v1's description, otherwise the payload's summary.

    `body` is that of a `ParsedEvent`. Empty when there is none, as in most resolves; a value that
    is no text is returned as it was written.
    """
    return summary_in(kind, rawjson.members(body))


def summary_in(kind: EventKind, members: rawjson.Members) -> str:
    """The same from the members of an event, valid or not."""
    value = members.get("description" if kind == "v1" else "payload")
    if kind != "v1" and value is not None:
        is_object = rawjson.kind_of(value) == "an object"
        value = rawjson.members(value).get("summary") if is_object else None
    return "" if value is None else rawjson.as_text(value)[:MAX_SUMMARY_CHARACTERS]
