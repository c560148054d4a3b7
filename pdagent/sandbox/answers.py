"""The answers PagerDuty documents, byte for byte as its clients expect them."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from pdagent.events.kinds import EventKind

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class SandboxAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A response: status, body, and headers beyond Content-Type and Content-Length."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = {}


def accepted(kind: EventKind, dedup_key: str) -> SandboxAnswer:
    """The event was processed: 200 for v1, 202 for the others; change events have no dedup key."""
    shown = {"status": "success", "message": "Event processed"}
    match kind:
        case "v1":
            return _json(200, {**shown, "incident_key": dedup_key})
        case "v2":
            return _json(202, {**shown, "dedup_key": dedup_key})
        case "change":
            return _json(202, {**shown, "message": "Change event processed"})


def invalid(errors: Sequence[str], status: int = 400) -> SandboxAnswer:
    """The event was refused, and sending it again is no use."""
    return _json(
        status,
        {"status": "invalid event", "message": "Event object is invalid", "errors": list(errors)},
    )


def rate_limited(kind: EventKind, retry_after: str | None) -> SandboxAnswer:
    """Too many calls for one key: 403 for v1, 429 for the others."""
    return _throttled(403 if kind == "v1" else 429, retry_after)


def failed(status: int, *, retry_after: str | None, v1: bool = False) -> SandboxAnswer:
    """The simulated failure `status` (300 to 599) in its usual form.

    `retry_after` is sent where it has a meaning: with 429 and 503, and with 403 to v1 (`v1`).
    """
    if status == 429 or (status == 403 and v1):
        return _throttled(status, retry_after)
    if status < 400:
        return SandboxAnswer(status=status, headers={"Location": "/redirected"})
    if status < 500:
        return invalid(["The sandbox was told to refuse this"], status)
    # Gateways in front of an API don't answer in JSON when it fails.
    text = f"<html><body><h1>{status} {_PHRASES.get(status, 'Failure')}</h1></body></html>\n"
    return SandboxAnswer(
        status=status,
        body=text.encode(),
        content_type="text/html",
        headers=_retry_after(retry_after if status == 503 else None),
    )


def heartbeat(interval: int) -> SandboxAnswer:
    """An agent's heartbeat was taken; the next one is due in `interval` seconds."""
    return _json(200, {"heartbeat_interval_secs": interval})


def _throttled(status: int, retry_after: str | None) -> SandboxAnswer:
    body = {
        "status": "throttle exceeded",
        "message": "Requests for this service are arriving too quickly",
        "errors": ["Too many calls for this key; try again later"],
    }
    return _json(status, body, _retry_after(retry_after))


def _json(
    status: int, body: dict[str, Any], headers: dict[str, str] | None = None
) -> SandboxAnswer:
    return SandboxAnswer(status=status, body=msgspec.json.encode(body), headers=headers or {})


def _retry_after(value: str | None) -> dict[str, str]:
    return {} if value is None else {"Retry-After": value}
