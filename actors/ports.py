"""Ports: what the actors need from outside; `pdagent/agent/app.py` injects implementations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from actors.core.verdict import Verdict
from store.records import EventKind


class OutgoingEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event on its way to PagerDuty.

    `body` is the JSON object to send, with the value of its routing or service key blanked to `""`;
    the key travels beside it so that a body alone is never a credential. `passed` are the ids of
    the agents that have delivered it before, the latest first. `occurred_at` is when it occurred
    (seconds since 1970), if its sender told.
    """

    kind: EventKind
    routing_key: str
    body: bytes
    event_id: str
    passed: tuple[str, ...] = ()
    occurred_at: float | None = None

    def __repr__(self) -> str:
        return f"OutgoingEvent(kind={self.kind!r}, event_id={self.event_id!r})"


class DeliveryPort(Protocol):
    """One connection's worth of PagerDuty: used by one thread at a time."""

    def deliver(self, event: OutgoingEvent) -> Verdict:
        """Try to deliver `event` once; network trouble comes back as a verdict, never raised."""

    def close(self) -> None:
        """Close for good. Any thread; may be repeated.

        From then on no request is written, also not by a `deliver` that hangs in another thread.
        """


Beat = Callable[[], float | None]
"""Sends PagerDuty's agent heartbeat, and returns the interval (seconds) that the answer asks for: 0
if it asks for none, None if it was not taken."""
