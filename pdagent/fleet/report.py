"""What a host reports to its relay every 30 seconds: `POST /relay/hosts`."""

from __future__ import annotations

from typing import Annotated

import msgspec

INTERVAL = 30.0
"""Seconds between two reports of a host."""

MISSING_AFTER = 90.0
"""A host is missing if it has not reported for so many seconds."""

MOST_BYTES = 1_024
"""The longest report, as JSON."""

_Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
_Name = Annotated[str, msgspec.Meta(min_length=1)]


class HostReport(msgspec.Struct, frozen=True, kw_only=True):
    """One agent's report. Fields that this version doesn't know are ignored.

    Every field but the first two may be missing, so that adjacent versions understand each other.
    `agent_id` is that of its journal; `host` is the name of its host. `waiting`, `dead_letters`
    and `held_queues` are counts; `oldest_waiting_seconds` is the age of the event that has waited
    longest, None if none waits: an age, because the host's clock may be wrong. `link` is the state
    of its link (`unknown`, `reachable`, `failing`, `unreachable`); `trouble` is why the agent can't
    do its work, empty if it can. `relay` is the URL that it reports to.
    """

    agent_id: _Name
    host: _Name
    version: str = ""
    relay: str = ""
    waiting: _Count = 0
    oldest_waiting_seconds: Annotated[float, msgspec.Meta(ge=0, lt=1e9)] | None = None
    dead_letters: _Count = 0
    held_queues: _Count = 0
    link: str = "unknown"
    trouble: str = ""
