"""An event as the agent would read it."""

from __future__ import annotations

import json

from pdagent.events import ParsedEvent, parse
from pdagent.integrations.event import Event, Nothing

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"
AT = 1785578400.25


def checked(event: Event | Nothing) -> ParsedEvent:
    """The event, accepted by the agent's own rules; fails the test if there is none."""
    assert isinstance(event, Event), event
    name = "service_key" if event.kind == "v1" else "routing_key"
    body = json.dumps({name: KEY, **event.body}, ensure_ascii=False)
    return parse(event.kind, body.encode(errors="replace"))
