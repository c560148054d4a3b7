"""Reading and completing the bodies of checked events."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from pdagent.events import rawjson
from pdagent.events.event import EventKind

KEY_NAMES: dict[EventKind, str] = {
    "v1": "service_key",
    "v2": "routing_key",
    "change": "routing_key",
}
"""The member that holds the integration key."""

BLANK = Raw(b'""')


class _Payload(msgspec.Struct):
    summary: str | None = None


class _WithPayload(msgspec.Struct):
    payload: _Payload | None = None


class _WithDescription(msgspec.Struct):
    description: str | None = None


_v1 = msgspec.json.Decoder(_WithDescription)
_v2 = msgspec.json.Decoder(_WithPayload)


def with_routing_key(kind: EventKind, body: bytes, routing_key: str) -> bytes:
    """Put the key back into its place in the `body` of a `ParsedEvent`, as PagerDuty wants it.

    Raises `msgspec.DecodeError` if `body` is not a JSON object, which no accepted event has.
    """
    members = rawjson.members(body)
    members[KEY_NAMES[kind]] = rawjson.raw(routing_key)
    return rawjson.write(members)


def summary_of(kind: EventKind, body: bytes) -> str:
    """Return what an event says for people: v1's description, otherwise the payload's summary.

    `body` is that of a `ParsedEvent`. Empty when there is none, as in most resolves.
    """
    if kind == "v1":
        return _v1.decode(body).description or ""
    payload = _v2.decode(body).payload
    return (payload.summary if payload is not None else None) or ""
