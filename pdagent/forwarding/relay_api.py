"""One relay as a host sees it: how an event is sent to it, and what its answers mean.

Adjacent versions of hosts and relays work together: tests/pdagent/forwarding/test_wire_format.py
has all that they rely on.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from actors.core.verdict import Deferred, Delivered, Rejected, Verdict
from actors.ports import OutgoingEvent
from pdagent.events.kinds import EventKind
from pdagent.eventsapi.client import EventsApi
from pdagent.eventsapi.explanation import described, json_object, presentable
from pdagent.eventsapi.verdict import seconds_to_wait, verdict_of_answer
from pdagent.loops import UNAVAILABLE

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 6.0
"""A relay that can't store an event says so within 5 s."""

_ABOUT_THE_EVENT = (400, 413, 422)
_SECRET_REFUSED = (401, 403)
_RATE_LIMITS = (403, 429)  # as PagerDuty: v1 has 403
_GATEWAY = (502, 504)  # a load balancer in front of a relay that is away
_SERVICE_UNAVAILABLE = 503
_LOOP_DETECTED = 508
_LONGEST_WAIT_FOR_ROOM = 5.0  # seconds


class NotTaken(Deferred, frozen=True, kw_only=True):
    """This relay takes no event: another one may.

    `owner` is the URL that a standby names. `for_now`: it is no standby, but can't store the event.
    """

    owner: str | None = None
    for_now: bool = False


class RelayApi(EventsApi):
    """Delivers events to one relay, as `EventsApi` does to PagerDuty.

    The event's id goes along as `Idempotency-Key`: repeated, the event is stored once.
    """

    def __init__(
        self,
        url: str,
        *,
        secret: str,
        ca: Path | None,
        user_agent: str,
        agent_id: str,
        render: Callable[[OutgoingEvent], bytes],
    ) -> None:
        super().__init__(
            url,
            user_agent=user_agent,
            agent_id=agent_id,
            render=render,
            headers={"Authorization": f"token {secret}"},
            ca=ca,
            connect_timeout=CONNECT_SECONDS,
            read_timeout=ANSWER_SECONDS,
        )
        self.repeated = False
        """Whether the relay knew the event of the last delivery already."""

    def own_headers(self, event: OutgoingEvent) -> dict[str, str]:
        """The headers that other events don't have."""
        headers = {**super().own_headers(event), "Idempotency-Key": event.event_id}
        if event.occurred_at is not None:
            headers["Pd-Occurred-At"] = repr(event.occurred_at)
        return headers

    def judge(
        self,
        kind: EventKind,
        status: int,
        retry_after: str | None,
        body: bytes,
        now: float,
        seconds: float,
    ) -> Verdict:
        """Only what a relay says about the event itself ends it; see `verdict_of_answer`."""
        answer = json_object(body) or {}
        self.repeated = answer.get("repeated") is True
        said = answer.get("status")
        text = described(answer or None, body)
        detail = presentable(f"HTTP {status}: {text}" if text else f"HTTP {status}")
        if status // 100 == 2 and said == "success":
            return Delivered(status=status, seconds=seconds)
        if status in _ABOUT_THE_EVENT and said == "invalid event":
            return Rejected(reason=f"http_{status}", detail=text, seconds=seconds)
        if status in _RATE_LIMITS and said == "throttle exceeded":
            # A full queue, and no rate limit: PagerDuty's own is the relay's business.
            wish = seconds_to_wait(retry_after, now) or 1.0
            wait = min(wish, _LONGEST_WAIT_FOR_ROOM) * random.uniform(0.75, 1.25)
            return Deferred(
                reason="refused_for_now", detail=detail, retry_after=wait, seconds=seconds
            )
        refuses_secret = status in _SECRET_REFUSED and said == UNAVAILABLE
        if refuses_secret or status in (_SERVICE_UNAVAILABLE, *_GATEWAY):
            return NotTaken(
                reason="unreachable",
                detail=detail,
                seconds=seconds,
                owner=_owner(answer),
                for_now=status == _SERVICE_UNAVAILABLE and "owner" not in answer and bool(answer),
            )
        if 400 <= status <= 499:
            return Deferred(reason="not_understood", detail=detail, seconds=seconds)
        return verdict_of_answer(kind, status, retry_after, body, now, seconds)


def _owner(answer: Mapping[str, Any]) -> str | None:
    """The URL in a standby's answer, as `config` has it."""
    owner = answer.get("owner")
    return owner.rstrip("/") if isinstance(owner, str) else None
