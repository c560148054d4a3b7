"""`status --fleet` and `hosts`: a relay's hosts for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from pdagent.dashboard.findings import STYLES as FINDING_STYLES
from pdagent.dashboard.findings import Finding
from pdagent.dashboard.rows import WIDE
from pdagent.dashboard.table import print_parts
from pdagent.fleet.rows import HostPage, HostRow
from pdagent.fleet.table import FleetSums
from pdagent.wording import age, counted, one_line

COLUMNS = ("HOST", "SEEN", "WAITING", "OLDEST", "DEAD", "VERSION", "STATE", "RELAY")
RIGHT = range(1, 5)
"""The numbers of the columns with figures."""

_STATE = 6
_LONGEST_NAME, _LONGEST_NAME_WIDE = 24, 48
_ROOM_FOR_RELAYS = 150
"""Columns of a terminal from which on a state is not cut for the relay beside it."""


def moment(text: str | None) -> datetime | None:
    """A time of the agent's JSON, None if it is none."""
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def state_of_host(row: HostRow) -> tuple[str, str]:
    """What is to be said of a host, and its style."""
    if row.missing:
        return "missing", "bold red"
    if row.trouble:
        return f"not ready: {one_line(row.trouble)}", "bold red"
    if row.dead_letters:
        return "dead letters", "yellow"
    if row.needs_attention:
        return "old events", "yellow"
    if row.link in ("failing", "unreachable"):
        return f"relay {row.link}", "yellow"
    if row.held_queues:
        return f"{counted(row.held_queues, 'queue')} held", "magenta"
    return "ok", "green"


def cells_of(row: HostRow, now: datetime) -> list[str]:
    """The cells of a host's row, one for each of `COLUMNS`; `now` is aware."""
    return [
        one_line(row.host),
        age(moment(row.last_report_at), now),
        str(row.waiting),
        age(moment(row.oldest_waiting_at), now),
        str(row.dead_letters),
        one_line(row.version) or "-",
        state_of_host(row)[0],
        one_line(row.relay) or "-",
    ]


def styles_of(row: HostRow) -> list[str]:
    """The styles of these cells."""
    dead = "red" if row.dead_letters else ""
    return ["", "", "", "", dead, "", state_of_host(row)[1], ""]


def host_table(
    rows: Sequence[HostRow], now: datetime, width: int | None, selected: int | None = None
) -> Table:
    """The rows in their order, cut to `width` columns, or whole if that is None.

    `selected` is the number of a row to stand out.
    """
    wide = width is None or width >= WIDE
    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="" if width is None else "bold",
        expand=width is not None,
    )
    longest = None if width is None else _LONGEST_NAME_WIDE if wide else _LONGEST_NAME
    relays = width is None or width >= _ROOM_FOR_RELAYS
    for place, name in enumerate(COLUMNS if relays else COLUMNS[:-1]):
        table.add_column(
            name,
            justify="right" if place in RIGHT else "left",
            no_wrap=True,
            overflow="ellipsis",
            max_width=longest if place == 0 else None,
            ratio=1 if place == _STATE and width is not None else None,
        )
    for place, row in enumerate(rows):
        styles = [""] * len(COLUMNS) if place == selected else styles_of(row)
        cells = map(Text, cells_of(row, now), styles)
        table.add_row(*list(cells)[: len(table.columns)], style="reverse" * (place == selected))
    return table


def fleet_findings(sums: FleetSums) -> list[Finding]:
    """At least one; a single one of level `good` if nothing is amiss."""
    found = []
    if sums.missing:
        verb = "is" if sums.missing == 1 else "are"
        text = f"{counted(sums.missing, 'host')} {verb} missing"
        found.append(Finding("bad", f"{text} ('pagerduty-agent help missing-hosts')"))
    others = sums.need_attention - sums.missing
    if others:
        verb = "needs" if others == 1 else "need"
        text = f"{counted(others, 'host')} {verb} attention: not ready, dead letters or old events"
        found.append(Finding("warning", text))
    if not sums.hosts:
        return [Finding("warning", "No host has reported yet")]
    return found or [Finding("good", "All hosts report, and none needs attention")]


def fleet_head(sums: FleetSums) -> list[tuple[str, str]]:
    """Labels, and what stands behind them."""
    reporting = sums.hosts - sums.missing
    versions = ", ".join(f"{one_line(name) or '-'} ({n:,})" for name, n in sums.versions.items())
    return [
        ("Hosts", f"{sums.hosts:,} known, {reporting:,} report, {sums.missing:,} missing"),
        ("Events", f"{sums.waiting:,} waiting and {sums.dead_letters:,} dead-lettered on hosts"),
        ("Versions", versions or "-"),
    ]


def print_fleet(
    page: HostPage, console: Console, now: datetime, options: Callable[[str], str] = str
) -> None:
    """Print the sums, and the hosts that need attention; `now` (aware) is what ages count from.

    `options` completes command lines that texts name with the global options that are needed.
    """
    width = console.width if console.is_terminal else None
    head = Table.grid(padding=(0, 2))
    for label, value in fleet_head(page.fleet):
        head.add_row(label, value)
    parts: list[RenderableType] = [head, Text()]
    parts += [
        Text(options(str(finding)), style="" if width is None else FINDING_STYLES[finding.level])
        for finding in fleet_findings(page.fleet)
    ]
    if page.hosts:
        parts += [Text(), host_table(page.hosts, now, width)]
    if page.matching > len(page.hosts):
        more = counted(page.matching - len(page.hosts), "more host")
        parts.append(Text(f"and {more}: --limit 0 shows all", style="dim"))
    print_parts(console, parts)
