"""Where PagerDuty's Events API takes events."""

from __future__ import annotations

from typing import Literal

Kind = Literal["v1", "v2", "change"]

PATHS: dict[Kind, str] = {
    "v2": "/v2/enqueue",
    "change": "/v2/change/enqueue",
    "v1": "/generic/2010-04-15/create_event.json",
}
"""The path for events of each kind, below `events_url`."""
