"""Answers to senders of events, as JSON: receipts and refusals. `openapi.json` describes them."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from actors.core.commands import Receipt, Refusal
from pdagent.events.kinds import DEDUP_KEY_NAMES, EVENT_PATHS, EventKind
from pdagent.loops import UNAVAILABLE

NAGIOS_PATH = "/nagios/2010-04-15/create_event"
"""PagerDuty's path for forms of pagerduty_nagios.pl."""

INTEGRATION_PATH = "/integration/{key}/enqueue"
"""PagerDuty's path with the integration key in it."""

_PAGERDUTY_PATHS = (*EVENT_PATHS.values(), NAGIOS_PATH, INTEGRATION_PATH.partition("{")[0])
_INTAKE_PATHS = (*_PAGERDUTY_PATHS, "/send")
_STATUS_OF = {"queue_full": 429, "idempotency_key_reused": 422, "refused_by_relay": 400}
# `status` in PagerDuty's shape for refusals that say nothing about the event.
_TEMPORARY = {
    **dict.fromkeys((401, 403, 408, 500, 503, 508), UNAVAILABLE),
    429: "throttle exceeded",
}

_encode = msgspec.json.Encoder().encode


class Outcome(NamedTuple):
    """An answer: its HTTP status, its JSON, and `Retry-After` in seconds."""

    status: int
    body: bytes
    retry_after: int | None = None


def processed(kind: EventKind, receipt: Receipt, *, to_agent: bool = False) -> bytes:
    """PagerDuty's answer to the event of `receipt`, with the agent's `warnings` if any.

    An agent that delivers here learns whether the event was known already.
    """
    more = {"repeated": True} if to_agent and receipt.repeated else {}
    alert = _alert_of(kind, receipt, empty=True)
    return _encode({"status": "success", "message": "Event processed", **alert, **more})


def nothing_sent(why: str) -> bytes:
    """PagerDuty's answer to a Nagios notification that needs no event."""
    return _encode({"status": "success", "message": why, "incident_key": ""})


def stored(kind: EventKind, receipt: Receipt, **line: int) -> bytes:
    """The answer of `/send`, or of a `line` of `/send/batch`: `key` is the event's id."""
    return _encode({**line, "key": receipt.event, **_alert_of(kind, receipt, empty=False)})


def _alert_of(kind: EventKind, receipt: Receipt, *, empty: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    name = DEDUP_KEY_NAMES.get(kind)
    if name is not None and (empty or receipt.dedup_key):
        fields[name] = receipt.dedup_key
    if receipt.warnings:
        fields["warnings"] = receipt.warnings
    return fields


def error_body(
    path: str, status: int, *sentences: str, message: str = "", may_have_been_stored: bool = False
) -> bytes:
    """The JSON of a refusal, on PagerDuty's paths in PagerDuty's shape.

    `status` is the HTTP status; 429 also where v1 gets 403.
    """
    uncertain = may_have_been_stored and path.startswith(_INTAKE_PATHS)
    errors = [_sentence(status, each, uncertain=uncertain) for each in sentences]
    body: dict[str, Any] = {"errors": errors}
    if path.startswith(_PAGERDUTY_PATHS):
        kind = _TEMPORARY.get(status, "invalid event")
        body = {"status": kind, "message": message or errors[0], **body}
    if uncertain:
        body["may_have_been_stored"] = True
    return _encode(body)


def line_error(line: int, status: int, *errors: str) -> bytes:
    """The result of a line of `/send/batch` that is no valid event."""
    return _encode({"line": line, "status": status, "errors": errors})


def line_refusal(line: int, refusal: Refusal) -> bytes:
    """The result of a line of `/send/batch` that the agent refused."""
    status, uncertain = status_of(refusal), is_uncertain(refusal)
    body: dict[str, Any] = {
        "line": line,
        "status": status,
        "errors": (_sentence(status, refusal.message, uncertain=uncertain),),
    }
    if refusal.retry_after is not None:
        body["retry_after"] = refusal.retry_after
    if uncertain:
        body["may_have_been_stored"] = True
    return _encode(body)


def status_of(refusal: Refusal) -> int:
    """The HTTP status of an event's refusal (v1's path has 403 for 429)."""
    return _STATUS_OF.get(refusal.reason, 503)


def is_uncertain(refusal: Refusal) -> bool:
    """Whether the refused event may be on disk."""
    return refusal.reason in ("unconfirmed", "unacknowledged")


def _sentence(status: int, reason: str, *, uncertain: bool) -> str:
    """`reason` with what to do next.

    v1 clients (pagerduty_nagios.pl, flush_queue) delete an event unless they read "retry later".
    """
    if uncertain:
        reason = (
            "the event may have been stored: repeat with the same Idempotency-Key or dedup key "
            f"({reason})"
        )
    return f"{reason}; retry later" if status in _TEMPORARY else reason


def mistake(path: str) -> Outcome:
    """For an error of the agent itself."""
    return Outcome(500, error_body(path, 500, "the agent made a mistake: its log says where"))
