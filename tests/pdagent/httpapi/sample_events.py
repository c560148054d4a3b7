"""Events for tests of the HTTP API, each with a routing key of its own."""

from __future__ import annotations

import itertools
import json
from typing import Any

_numbers = itertools.count(1)


def new_key() -> str:
    """A routing key that no other test of this process uses."""
    return f"{next(_numbers):032d}"


def trigger(key: str | None = None, **fields: Any) -> dict[str, Any]:
    """A v2 trigger; `fields` go on top."""
    return {
        "routing_key": key or new_key(),
        "event_action": "trigger",
        "payload": {"summary": "Disk full", "source": "web-17", "severity": "critical"},
        **fields,
    }


def v1_trigger(key: str | None = None, **fields: Any) -> dict[str, Any]:
    """A v1 trigger; `fields` go on top."""
    return {
        "service_key": key or new_key(),
        "event_type": "trigger",
        "description": "Disk full",
        **fields,
    }


def change(key: str | None = None, **fields: Any) -> dict[str, Any]:
    """A change event; `fields` go on top."""
    return {"routing_key": key or new_key(), "payload": {"summary": "Deployed 4.2"}, **fields}


def of_size(size: int, key: str | None = None) -> bytes:
    """A v2 trigger of exactly `size` bytes."""
    event = trigger(key)
    event["payload"]["custom_details"] = {"log": ""}
    bare = len(json.dumps(event).encode())
    event["payload"]["custom_details"]["log"] = "x" * (size - bare)
    return json.dumps(event).encode()


def ndjson(*events: object) -> bytes:
    """Events as lines; bytes go as they are."""
    lines = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
    return b"".join(line + b"\n" for line in lines)
