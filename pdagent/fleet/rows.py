"""How a relay's hosts are shown in JSON: by the HTTP API, and by `hosts --json`."""

from __future__ import annotations

import msgspec

from pdagent.fleet.table import FleetSums


class HostRow(msgspec.Struct, frozen=True, kw_only=True):
    """One host. Times are ISO 8601 in UTC; counts are of events.

    `missing`: it has not reported for 90 seconds. All else is what its last report said.
    """

    host: str = ""
    agent_id: str = ""
    missing: bool = False
    needs_attention: bool = False
    last_report_at: str | None = None
    version: str = ""
    waiting: int = 0
    oldest_waiting_at: str | None = None
    dead_letters: int = 0
    held_queues: int = 0
    link: str = "unknown"
    trouble: str = ""
    relay: str = ""


class HostPage(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `GET /relay/hosts`: sums over all hosts, and rows of those that were meant.

    `matching` is how many are meant, which may be more than there are rows.
    """

    fleet: FleetSums
    matching: int
    hosts: list[HostRow]
