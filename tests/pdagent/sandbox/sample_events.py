"""Valid events to start from, and how to send them."""

from __future__ import annotations

from typing import Any

import requests

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"
OTHER_KEY = "0123456789abcdef0123456789abcdef"
V2 = "/v2/enqueue"
CHANGE = "/v2/change/enqueue"
V1 = "/generic/2010-04-15/create_event.json"
HEARTBEAT = "/agent/2014-03-14/heartbeat"


def trigger(key: str = KEY, dedup_key: str | None = None, **payload: Any) -> dict[str, Any]:
    """A valid v2 trigger; `payload` adds to or overrides its payload."""
    event: dict[str, Any] = {
        "routing_key": key,
        "event_action": "trigger",
        "payload": {"summary": "Disk full", "source": "db1", "severity": "error", **payload},
    }
    return event if dedup_key is None else {**event, "dedup_key": dedup_key}


def action(name: str, dedup_key: str, key: str = KEY) -> dict[str, Any]:
    """A valid v2 acknowledge or resolve."""
    return {"routing_key": key, "event_action": name, "dedup_key": dedup_key}


def v1_trigger(**fields: Any) -> dict[str, Any]:
    """A valid v1 trigger; `fields` adds or overrides."""
    return {"service_key": KEY, "event_type": "trigger", "description": "Disk full", **fields}


def post(url: str, event: object = None, *, data: bytes | None = None, timeout: float = 30) -> int:
    """Post an event on a connection of its own, which is closed on return; returns the status.

    Raises requests.RequestException if there is no answer within `timeout` seconds.
    """
    with requests.Session() as http:
        http.trust_env = False
        with http.post(url, json=event, data=data, timeout=timeout) as response:
            return response.status_code
