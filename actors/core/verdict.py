"""The result of a delivery attempt: delivered, to be tried again, or refused for good."""

from __future__ import annotations

from typing import Literal

import msgspec

DeferReason = Literal[
    "rate_limited",
    "server_error",
    "no_answer",
    "unreachable",
    "loop",
    "not_understood",
    "not_owner",
    "refused_for_now",
]

NOT_AT_PAGERDUTY = ("unreachable", "loop")
"""No request gets as far as PagerDuty: that concerns every key, and no event is to blame."""

NOT_SENT: Literal["not_owner"] = "not_owner"
"""A relay's lease was not valid, so no request was made: that says nothing about the event or the
link."""

THE_KEYS_OWN = ("rate_limited", "refused_for_now")
"""The answer is about the key: neither the event nor the way is to blame, and it says how long."""


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """PagerDuty took the event. `status` is the HTTP code, `seconds` the length of the attempt."""

    status: int
    seconds: float = 0.0


class Deferred(msgspec.Struct, frozen=True, kw_only=True):
    """Not delivered, to be tried again.

    `retry_after` is the wish of the answer in seconds from then on, or None. `loop`: the request
    came back to an agent that had delivered its event before. `refused_for_now`: a relay can't
    store events of this key at the moment.
    """

    reason: DeferReason
    detail: str = ""
    retry_after: float | None = None
    seconds: float = 0.0


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """PagerDuty will never take this event as it is; `detail` is PagerDuty's own explanation."""

    reason: str
    detail: str = ""
    seconds: float = 0.0


Verdict = Delivered | Deferred | Rejected
