"""The delivery policy: what an answer, or the lack of one, means for the event. Pure functions.

Only PagerDuty's own answer ends an event: proxies, captive portals and firewalls answer as well.
The codes are those of https://developer.pagerduty.com/docs/events-api-v2-overview and, for v1,
https://developer.pagerduty.com/docs/events-api-v1-overview. docs/guarantees.md has the table.
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from actors.core.verdict import DeferReason, Deferred, Delivered, Rejected, Verdict
from pdagent.events.kinds import EventKind
from pdagent.eventsapi.explanation import described, html_page, json_object, presentable
from pdagent.eventsapi.failures import describe, reason_of
from pdagent.loops import UNAVAILABLE

_LONGEST_WAIT = 3600.0
"""No answer makes us wait longer: an alert an hour late is late enough."""

# RFC 9110 knows whole seconds; fractions are met in the wild and harmless.
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]*)?")

_OK = 200
_ACCEPTED = 202
_TOO_MANY_REQUESTS = 429
_LOOP_DETECTED = 508  # how agents refuse what they have delivered themselves
_FORBIDDEN = 403  # how the Events API v1 says "too many requests"


def verdict_of_answer(
    kind: EventKind,
    status: int,
    retry_after_header: str | None,
    body: bytes,
    now: float,
    seconds: float,
) -> Verdict:
    """What the answer with HTTP code `status` means for an event of this `kind`.

    `body` may be cut short. `now` is in seconds since 1970, for a `Retry-After` that is a date;
    `seconds` is how long the attempt took.
    """
    answer = json_object(body)
    if _is_success(kind, status, answer, body):
        return Delivered(status=status, seconds=seconds)
    reason: DeferReason = "not_understood"
    if status == _TOO_MANY_REQUESTS or (status == _FORBIDDEN and kind == "v1"):
        reason = "rate_limited"
    elif 400 <= status <= 499 and answer and _is_about_the_event(answer):
        return Rejected(reason=f"http_{status}", detail=described(answer, body), seconds=seconds)
    elif status == _LOOP_DETECTED and answer and answer.get("errors"):
        said = described(answer, body).removesuffix("; retry later")
        return Deferred(reason="loop", detail=said, seconds=seconds)
    elif 500 <= status <= 599:
        reason = "server_error"
    said = described(answer, body)
    return Deferred(
        reason=reason,
        detail=presentable(f"HTTP {status}: {said}" if said else f"HTTP {status}"),
        retry_after=seconds_to_wait(retry_after_header, now),
        seconds=seconds,
    )


def _is_about_the_event(answer: dict[str, Any]) -> bool:
    # PagerDuty's refusal has this shape. An agent in its place says what is no fault of the event.
    return bool(answer.keys() & {"status", "message", "errors"}) and (
        answer.get("status") != UNAVAILABLE
    )


def _is_success(kind: EventKind, status: int, answer: dict[str, Any] | None, body: bytes) -> bool:
    says_so = answer is not None and answer.get("status") == "success"
    if kind == "v1":
        return status == _OK and says_so
    if status != _ACCEPTED:
        return 200 <= status <= 299 and says_so
    # The code is PagerDuty's own: the body need only not contradict it.
    return says_so or ("status" not in answer if answer is not None else html_page(body) is None)


def verdict_of_failure(exc: BaseException, seconds: float) -> Deferred:
    """What it means that an attempt ended with `exc` after `seconds`.

    `unreachable` where the request can't have got to PagerDuty, so that it concerns every event;
    `no_answer` where it may have; `not_understood` for what is neither.
    """
    return Deferred(reason=reason_of(exc), detail=presentable(describe(exc)), seconds=seconds)


def seconds_to_wait(header: str | None, now: float) -> float | None:
    """Seconds, 0 to 3600, that `Retry-After` (RFC 9110, section 10.2.3) asks for.

    `now` is in seconds since 1970. The header has seconds or an HTTP date; a past date is 0. None
    without a header, and for one that is neither.
    """
    if header is None:
        return None
    text = header.strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), _LONGEST_WAIT)
    try:
        date = parsedate_to_datetime(text)
        # "-0000" and asctime's form come back without a zone; HTTP dates are in UTC.
        until = (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, LookupError, OverflowError):
        return None
    return min(max(until - now, 0.0), _LONGEST_WAIT)
