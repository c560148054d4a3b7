"""The delivery policy: what an answer, or the lack of one, means for the event. Pure functions.

The table is the one of the design ("Delivery policy"); the codes are those of PagerDuty's pages on
the Events API v1 and v2.
"""

from __future__ import annotations

from actors.core.verdict import Deferred, Delivered, Rejected, Verdict
from pdagent.eventsapi.endpoints import Kind
from pdagent.eventsapi.explanation import explanation, presentable
from pdagent.eventsapi.failures import describe, reason_of
from pdagent.eventsapi.retry_after import seconds_to_wait

_TOO_MANY_REQUESTS = 429
_FORBIDDEN = 403  # how the Events API v1 says "too many requests"


def verdict_of_answer(
    kind: Kind,
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
    if 200 <= status <= 299:
        return Delivered(status=status, seconds=seconds)
    if status == _TOO_MANY_REQUESTS or (status == _FORBIDDEN and kind == "v1"):
        return Deferred(
            reason="rate_limited",
            detail=_with_code(status, body),
            retry_after=seconds_to_wait(retry_after_header, now),
            seconds=seconds,
        )
    if 400 <= status <= 499:
        return Rejected(reason=f"http_{status}", detail=explanation(body), seconds=seconds)
    return Deferred(
        reason="server_error" if 500 <= status <= 599 else "not_understood",
        detail=_with_code(status, body),
        seconds=seconds,
    )


def verdict_of_failure(exc: BaseException, seconds: float) -> Deferred:
    """What it means that an attempt ended with `exc` after `seconds`.

    `unreachable` where the request can't have got to PagerDuty, so that it concerns every event;
    `no_answer` where it may have; `not_understood` for what is neither.
    """
    return Deferred(reason=reason_of(exc), detail=presentable(describe(exc)), seconds=seconds)


def _with_code(status: int, body: bytes) -> str:
    said = explanation(body)
    return presentable(f"HTTP {status}: {said}" if said else f"HTTP {status}")
