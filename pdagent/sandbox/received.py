"""What the stand-in was sent: checked, and in a log in the order in which it arrived.

PagerDuty would take an event by the agent's own rules, but without its repairs: what the agent
repairs with a warning is a problem here. So the sandbox refuses an event that the agent should have
repaired and did not.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

import msgspec

from pdagent.events.event import summary_in
from pdagent.events.kinds import EventKind
from pdagent.events.parsing import Survey
from pdagent.events.rawjson import MalformedJsonError
from pdagent.sandbox.alerts import Effect


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a request body turned out to be.

    `errors` holds the problems and is empty for a valid event; no error repeats a key.
    `routing_key` and `dedup_key` are "" where none was given, or an invalid one; `is_json` says
    whether the body was a JSON object in UTF-8.
    """

    routing_key: str = ""
    action: str = ""
    dedup_key: str = ""
    summary: str = ""
    is_json: bool = True
    errors: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Checked(action={self.action!r}, errors={self.errors!r})"


def check(kind: EventKind, raw: bytes, header_key: str | None = None) -> Checked:
    """Check a request body; `header_key` is its header `X-Routing-Key`."""
    try:
        found = Survey(kind, raw, header_key)
    except MalformedJsonError as error:
        return Checked(is_json=False, errors=(str(error),))
    errors = (*found.problems.sentences, *found.warnings)
    return Checked(
        routing_key=found.routing_key,
        action=found.action,
        dedup_key=found.dedup_key,
        summary=summary_in(kind, found.members),
        is_json=raw.lstrip().startswith(b"{")
        and not any(error.startswith("the body:") for error in errors),
        errors=errors,
    )


class Received(msgspec.Struct, kw_only=True):
    """One request with an event. Times are seconds since the epoch.

    `n` counts from 1. `raw` is the body as it came; `headers` that weren't sent are
    None. `status` is what was answered: None while the answer is pending, and for good if the
    connection closed before it. `effect` is what the event did to the alerts, None if it was
    refused.
    """

    n: int
    at: float
    kind: EventKind
    path: str
    headers: dict[str, str | None]
    checked: Checked
    raw: bytes
    dedup_key: str
    effect: Effect | None = None
    status: int | None = None
    answered_at: float | None = None
    pending: bool = True

    def __repr__(self) -> str:
        return f"Received(n={self.n}, kind={self.kind!r}, status={self.status})"

    @property
    def effective(self) -> bool:
        """Whether the event was processed, not refused and not dropped."""
        return self.effect not in (None, "dropped")

    def as_json(self) -> dict[str, Any]:
        """The event as `/sandbox/events` shows it; `raw` is there only if the body wasn't JSON."""
        shown: dict[str, Any] = {
            "n": self.n,
            "at": self.at,
            "path": self.path,
            "headers": self.headers,
            "kind": self.kind,
            "routing_key": self.checked.routing_key,
            "action": self.checked.action,
            "dedup_key": self.dedup_key,
            "body": msgspec.Raw(self.raw) if self.checked.is_json and self.raw else None,
            "status": self.status,
            "answered_at": self.answered_at,
            "effective": self.effective,
            "effect": self.effect,
            "errors": self.checked.errors,
        }
        if not self.checked.is_json:
            shown["raw"] = self.raw.decode("utf-8", errors="replace")
        return shown


class HeartbeatCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of the agent heartbeat; `body` is None if it was no JSON object."""

    at: float
    user_agent: str | None
    body: msgspec.Raw | None


class ReceivedLog:
    """Events and heartbeats, the latest `keep` of each (0: all), and counts of all of them."""

    def __init__(self, keep: int = 0) -> None:
        self._events: deque[Received] = deque(maxlen=keep or None)
        self.heartbeats: deque[HeartbeatCall] = deque(maxlen=keep or None)
        self._kinds: Counter[str] = Counter(v1=0, v2=0, change=0)
        self._statuses: Counter[str] = Counter()
        self._effective = self._unanswered = self._heartbeats = 0

    def next_number(self) -> int:
        """The number of the next event: 1 for the first."""
        return self._kinds.total() + 1

    def add(self, received: Received) -> None:
        """Take in an event that has arrived, its effect known."""
        self._events.append(received)
        self._kinds[received.kind] += 1
        self._effective += received.effective

    def add_heartbeat(self, heartbeat: HeartbeatCall) -> None:
        """Take in a heartbeat that has arrived."""
        self.heartbeats.append(heartbeat)
        self._heartbeats += 1

    def finish(self, received: Received) -> None:
        """Count how the request of `received` ended."""
        if received.status is None:
            self._unanswered += 1
        else:
            self._statuses[str(received.status)] += 1

    def list(self, routing_key: str | None = None, since: int = 0) -> list[Received]:
        """Events in order of arrival: those of one key, those with a number above `since`."""
        return [
            event
            for event in self._events
            if event.n > since and routing_key in (None, event.checked.routing_key)
        ]

    def totals(self) -> dict[str, Any]:
        """Counts of everything received, also of what is no longer kept."""
        total = self._kinds.total()
        return {
            "received": {"total": total, **self._kinds, "heartbeat": self._heartbeats},
            "forgotten": total - len(self._events),
            "effective": self._effective,
            "statuses": self._statuses,
            "unanswered": self._unanswered,
        }
