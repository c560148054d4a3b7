"""The answers PagerDuty documents, byte for byte as its clients expect them."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from pdagent.sandbox.validation import Kind

INVALID = 400
TOO_LARGE = 413
RATE_LIMITED: dict[Kind, int] = {"v1": 403, "v2": 429, "change": 429}

_JSON = "application/json"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A response: status, body, and headers beyond Content-Type and Content-Length."""

    status: int
    body: bytes = b""
    content_type: str = _JSON
    headers: tuple[tuple[str, str], ...] = ()


def accepted(kind: Kind, dedup_key: str) -> Answer:
    """The event was processed: 200 for v1, 202 for the others; change events have no dedup key."""
    shown = {"status": "success", "message": "Event processed"}
    match kind:
        case "v1":
            return _json(200, {**shown, "incident_key": dedup_key})
        case "v2":
            return _json(202, {**shown, "dedup_key": dedup_key})
        case "change":
            return _json(202, {**shown, "message": "Change event processed"})


def invalid(errors: Sequence[str], status: int = INVALID) -> Answer:
    """The event was refused, and sending it again is no use."""
    return _json(
        status,
        {"status": "invalid event", "message": "Event object is invalid", "errors": list(errors)},
    )


def rate_limited(kind: Kind, retry_after: str | None) -> Answer:
    """Too many calls for one key: 403 for v1, 429 for the others."""
    return _with_retry_after(_throttled(RATE_LIMITED[kind]), retry_after)


def failed(status: int, *, retry_after: str | None, v1: bool = False) -> Answer:
    """What the stand-in was told to answer instead, in the form that fits `status` (300 to 599).

    `retry_after` is sent where it has a meaning: with 429 and 503, and with 403 to v1 (`v1`).
    """
    if status == 429 or (status == 403 and v1):
        return _with_retry_after(_throttled(status), retry_after)
    if status < 400:
        # A client that follows redirects gives itself away by a request that isn't there.
        return Answer(status=status, headers=(("Location", "/redirected"),))
    if status < 500:
        return invalid(["The sandbox was told to refuse this"], status)
    # Gateways in front of an API don't answer in JSON when it fails.
    text = f"<html><body><h1>{status} {_phrase(status)}</h1></body></html>\n"
    answer = Answer(status=status, body=text.encode(), content_type="text/html")
    return _with_retry_after(answer, retry_after) if status == 503 else answer


def heartbeat(interval: int) -> Answer:
    """An agent's heartbeat was taken; the next one is due in `interval` seconds."""
    return _json(200, {"heartbeat_interval_secs": interval})


def _throttled(status: int) -> Answer:
    return _json(
        status,
        {
            "status": "throttle exceeded",
            "message": "Requests for this service are arriving too quickly",
            "errors": ["Too many calls for this key; try again later"],
        },
    )


def _json(status: int, body: dict[str, Any]) -> Answer:
    return Answer(status=status, body=msgspec.json.encode(body))


def _with_retry_after(answer: Answer, retry_after: str | None) -> Answer:
    if retry_after is None:
        return answer
    return msgspec.structs.replace(answer, headers=(*answer.headers, ("Retry-After", retry_after)))


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Failure"
