"""Refusals of the HTTP API: JSON everywhere, in PagerDuty's shape on PagerDuty's paths."""

from __future__ import annotations

import msgspec

from actors.core.commands import Refusal
from pdagent.events import EventKind
from pdagent.httpapi.answers import Errors, PagerDutyErrors

PAGERDUTY_PATHS: dict[str, EventKind] = {
    "/v2/enqueue": "v2",
    "/v2/change/enqueue": "change",
    "/generic/2010-04-15/create_event.json": "v1",
}
"""PagerDuty's own paths, which its clients call as they are, and what kind of event each takes."""

_EVENT_PATHS = (*PAGERDUTY_PATHS, "/send", "/send/batch")

_NOT_THE_EVENTS_FAULT = {
    401: "service unavailable",
    403: "service unavailable",
    408: "service unavailable",
    429: "throttle exceeded",
    500: "service unavailable",
    503: "service unavailable",
}
_STATUS_OF = {"queue_full": 429, "idempotency_key_reused": 422}

_encode = msgspec.json.Encoder().encode


def error_body(
    path: str, status: int, *sentences: str, message: str = "", may_have_been_stored: bool = False
) -> bytes:
    """The JSON of a refusal in the shape that callers of `path` expect.

    `status` is the HTTP status; 429 also for what v1 answers with 403.
    """
    uncertain = may_have_been_stored and path in _EVENT_PATHS
    errors = tuple(sentence_for(status, each, uncertain=uncertain) for each in sentences)
    if path not in PAGERDUTY_PATHS:
        return _encode(Errors(errors=errors, may_have_been_stored=uncertain))
    return _encode(
        PagerDutyErrors(
            status=_NOT_THE_EVENTS_FAULT.get(status, "invalid event"),
            message=message or errors[0],
            errors=errors,
            may_have_been_stored=uncertain,
        )
    )


def sentence_for(status: int, reason: str, *, uncertain: bool) -> str:
    """`reason` with what to do; `uncertain`: the event may have been stored all the same.

    Clients of v1 (pagerduty_nagios.pl, flush_queue) delete an event unless they read "retry later".
    """
    if uncertain:
        reason = (
            "the event may have been stored: repeat with the same Idempotency-Key or dedup key "
            f"({reason})"
        )
    return f"{reason}; retry later" if status in _NOT_THE_EVENTS_FAULT else reason


def status_of(refusal: Refusal) -> int:
    """The HTTP status of an event's refusal (v1's path has 403 for 429)."""
    return _STATUS_OF.get(refusal.reason, 503)
