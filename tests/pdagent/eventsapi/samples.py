"""Events with a key that must not be seen anywhere, and how they are made ready to send."""

from __future__ import annotations

from typing import Literal

from actors.ports import OutgoingEvent

Kind = Literal["v1", "v2", "change"]
KINDS: tuple[Kind, ...] = ("v1", "v2", "change")

KEY = "k3yk3yk3yk3yk3yk3yk3yk3yk3yk3yzz"
SECRET_SUMMARY = "the-content-of-an-event"

BODIES: dict[Kind, bytes] = {
    "v1": b'{"service_key":"","event_type":"trigger","description":"the-content-of-an-event"}',
    "v2": b'{"routing_key":"","event_action":"trigger",'
    b'"payload":{"summary":"the-content-of-an-event","source":"h","severity":"error"}}',
    "change": b'{"routing_key":"","payload":{"summary":"the-content-of-an-event"}}',
}


def an_event(kind: Kind, body: bytes | None = None) -> OutgoingEvent:
    return OutgoingEvent(
        kind=kind,
        routing_key=KEY,
        body=BODIES[kind] if body is None else body,
        event_id="01J00000000000000000000001",
    )


def rendered(event: OutgoingEvent) -> bytes:
    """The body with the key in its place."""
    return event.body.replace(b'_key":""', b'_key":"%b"' % event.routing_key.encode(), 1)
