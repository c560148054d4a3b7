"""What the integrations share: the event that one makes, and the parts that every event has."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pdagent.occurrence import utc_timestamp

if TYPE_CHECKING:
    from pdagent.events import EventKind

# As `MAX_DEDUP_KEY_CHARACTERS` of `pdagent.events.parsing`, which takes too long to load here.
_LONGEST_KEY = 255
# The agent shortens more carefully, to 1,024; this only keeps the event within its size.
_LONGEST_SUMMARY = 4096
# PagerDuty takes 512,000 bytes, and the agent adds some.
_LARGEST = 500_000


class Event(NamedTuple):
    """An event without its integration key; `warnings` say what had to be left out."""

    kind: EventKind
    body: dict[str, Any]
    warnings: tuple[str, ...] = ()

    @property
    def is_too_large(self) -> bool:
        """Whether PagerDuty wouldn't take the event for its size."""
        try:
            return len(json.dumps(self.body)) > _LARGEST
        except RecursionError:  # of a document nested without end
            return True

    def bare(self) -> Event:
        """The event without all that is optional."""
        kept = {name: self.body[name] for name in _KEPT if name in self.body}
        if "payload" in kept:
            payload = kept["payload"]
            kept["payload"] = {name: payload[name] for name in _KEPT_IN_PAYLOAD if name in payload}
        return Event(self.kind, kept)


_KEPT = (
    *("event_type", "incident_key", "description", "agent"),
    *("event_action", "dedup_key", "payload"),
)
_KEPT_IN_PAYLOAD = ("summary", "source", "severity", "timestamp")


class Nothing(NamedTuple):
    """The tool's notification needs no event; `why` is for people."""

    why: str


class Unusable(ValueError):
    """What the tool handed over lacks something without which there is no event; one line."""


def v1(
    event_type: str, key: str, description: str, details: Mapping[str, Any], queued_by: str
) -> dict[str, Any]:
    """The members of an Events API v1 event, as PagerDuty's agents filled them.

    `queued_by` is the program's old name. The agent fills in the rest of `agent`.
    """
    return {
        "event_type": event_type,
        "incident_key": short_key(key),
        "description": description[:_LONGEST_SUMMARY],
        "details": dict(details),
        "agent": stamp(queued_by),
    }


def stamp(queued_by: str) -> dict[str, str]:
    """v1's `agent` for an event of the program with the old name `queued_by`."""
    return {"queued_by": queued_by, "queued_at": "", "agent_id": ""}


def v2(
    action: str,
    key: str,
    summary: str,
    *,
    source: str,
    severity: str,
    details: Mapping[str, Any],
    occurred_at: float,
    component: str = "",
    links: Iterable[Mapping[str, str]] = (),
    client: str = "",
    client_url: str = "",
) -> dict[str, Any]:
    """The members of an Events API v2 event, without those that are empty."""
    payload = {
        "summary": summary[:_LONGEST_SUMMARY],
        "source": source[:_LONGEST_SUMMARY],
        "severity": severity,
        "timestamp": utc_timestamp(occurred_at),
        "component": component,
        "custom_details": dict(details),
    }
    event = {
        "event_action": action,
        "dedup_key": short_key(key),
        "payload": {name: value for name, value in payload.items() if value},
        "links": list(links),
        "client": client,
        "client_url": client_url,
    }
    return {name: value for name, value in event.items() if value}


def short_key(key: str) -> str:
    """`key`, or its beginning and a hash of the whole if PagerDuty wouldn't take it for its length.

    The same for every event of an incident.
    """
    if len(key) <= _LONGEST_KEY:
        return key
    from hashlib import blake2b  # it takes long to load

    digest = blake2b(key.encode(errors="replace"), digest_size=10).hexdigest()
    return f"{key[: _LONGEST_KEY - len(digest) - 1]}#{digest}"


def is_web_address(text: str) -> bool:
    """Whether `text` may be the address of a link."""
    return text.startswith(("https://", "http://")) and not text.endswith("//")


def first_line(output: str) -> str:
    """The first line of a plugin's output that isn't blank: the part of it that is for people."""
    return next((line.strip() for line in output.splitlines() if line.strip()), "")
