"""PagerDuty's wire formats: Events API v1, v2 alert events and v2 change events.

`parse` checks what a client sent and names all that is wrong with it; `complete` adds what the
agent must; `with_routing_key` makes the body that PagerDuty gets. In between an event is bytes:
nothing that the client sent is rewritten.
"""

from __future__ import annotations

from pdagent.events.completion import complete, resolve_of
from pdagent.events.event import (
    MAX_EVENT_BYTES,
    MAX_SUMMARY_CHARACTERS,
    AgentStamp,
    InvalidEvent,
    ParsedEvent,
    summary_of,
    with_routing_key,
)
from pdagent.events.kinds import KINDS, EventKind
from pdagent.events.parsing import parse
from pdagent.masking import is_routing_key

__all__ = [
    "KINDS",
    "MAX_EVENT_BYTES",
    "MAX_SUMMARY_CHARACTERS",
    "AgentStamp",
    "EventKind",
    "InvalidEvent",
    "ParsedEvent",
    "complete",
    "is_routing_key",
    "parse",
    "resolve_of",
    "summary_of",
    "with_routing_key",
]
