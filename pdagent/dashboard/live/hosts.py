"""The screen of `status --fleet --watch`: pure, no clock and no terminal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from pdagent.dashboard.findings import STYLES as FINDING_STYLES
from pdagent.dashboard.fleet import fleet_findings, fleet_head, host_table, moment, state_of_host
from pdagent.dashboard.live.lines import Size, bar, filled, lost_line, sides, too_small
from pdagent.dashboard.live.seen import Lost
from pdagent.dashboard.live.view import View
from pdagent.dashboard.words import clock
from pdagent.fleet.rows import HostPage, HostRow
from pdagent.wording import age, one_line

SORTS = ("need",)
"""Hosts have one order: those that need somebody come first."""

_FEW_LINES = 18


class SeenHosts(msgspec.Struct, frozen=True, kw_only=True):
    """`page` holds the rows from number `offset` on, as answered at `at`."""

    page: HostPage | None = None
    at: datetime | None = None
    offset: int = 0
    lost: Lost | None = None

    @property
    def rows(self) -> int:
        """How many rows there are in all."""
        return 0 if self.page is None else self.page.matching

    def answered(self, page: HostPage, offset: int, now: datetime) -> SeenHosts:
        """The relay answered."""
        return SeenHosts(page=page, at=now, offset=offset)

    def failed(self, why: str, now: datetime) -> SeenHosts:
        """The relay could not be asked, and why."""
        since = now if self.lost is None else self.lost.since
        return msgspec.structs.replace(self, lost=Lost(since, why))


def page_of_hosts(size: Size) -> int:
    """How many hosts a screen of this size has room for."""
    if size.height < _FEW_LINES:
        return size.height - 6  # title, two sums, a finding, the table's header, footer
    # Besides: a third sum, a second finding, a blank line, two lines of details.
    return size.height - 11


def hosts_screen(
    seen: SeenHosts, view: View, size: Size, now: datetime, *, options: Callable[[str], str] = str
) -> RenderableType:
    """Exactly `size.height` lines of at most `size.width` columns; `now` is aware.

    `options` completes command lines that texts name with the global options that are needed.
    """
    if size.is_too_small:
        return too_small()
    width = size.width
    title = sides(
        " pagerduty-agent  hosts of this relay", f"{clock(now)} UTC ", width, "bold reverse"
    )
    if seen.page is None:
        asking = Text(" Asking the relay...")
        parts = [title, asking if seen.lost is None else lost_line(seen.lost, width, now)]
        return filled(list(parts), len(parts), Text(" q quit", style="reverse"), size)
    if view.help:
        return filled([title, *_help()], 1 + len(_HELP), bar("any key goes back", size), size)
    lines: list[RenderableType] = [title]
    few = size.height < _FEW_LINES
    for label, value in fleet_head(seen.page.fleet)[: 2 if few else 3]:
        lines.append(Text(f" {label:<9} {value}", no_wrap=True, overflow="ellipsis"))
    lines += _findings(seen, size, now, options)[: 1 if few else 2]
    shown_at = now if seen.lost is None else seen.at or now  # ages are those of the last answer
    page = page_of_hosts(size)
    start = max(0, view.top - seen.offset)
    rows = seen.page.hosts[start : start + page] if view.top >= seen.offset else []
    table = host_table(rows, shown_at, width - 1, selected=view.selected - view.top)
    lines += [*[Text()] * (not few), Padding(table, (0, 0, 0, 1)), *[Text()] * (page - len(rows))]
    lines += [] if few else _details(rows, view, seen, shown_at)
    return Group(*lines, _footer(seen, view, page, size))


def _findings(
    seen: SeenHosts, size: Size, now: datetime, options: Callable[[str], str]
) -> list[RenderableType]:
    assert seen.page is not None
    if seen.lost is not None:
        said = f" This is what it said at {clock(seen.at or now)} UTC."
        return [lost_line(seen.lost, size.width, now), Text(said, style="bold")]
    lines: list[RenderableType] = [
        Text(
            f" {options(str(finding))}",
            style=FINDING_STYLES[finding.level],
            no_wrap=True,
            overflow="ellipsis",
        )
        for finding in fleet_findings(seen.page.fleet)
    ]
    return [*lines, Text()]


def _details(
    rows: list[HostRow], view: View, seen: SeenHosts, now: datetime
) -> list[RenderableType]:
    """Two lines about the selected host, where less is cut than in the table."""
    place = view.selected - view.top
    if view.match and not seen.rows:
        none = f" No host has '{one_line(view.match)}' in its name, id or version."
        return [Text(f"{none} Esc shows all.", no_wrap=True, overflow="ellipsis"), Text()]
    if not 0 <= place < len(rows):
        return [Text(), Text()]
    row = rows[place]
    state, style = state_of_host(row)
    first = Text(f" {one_line(row.host)}", style="bold", no_wrap=True, overflow="ellipsis")
    first.append(f"  {state}", style=f"not bold {style}")
    first.append(f", last report {age(moment(row.last_report_at), now)} ago", style="not bold")
    relay = f" to {one_line(row.relay)}" if row.relay else ""
    second = f" agent {one_line(row.agent_id)}{relay}"
    return [first, Text(second, style="dim", no_wrap=True, overflow="ellipsis")]


def _footer(seen: SeenHosts, view: View, page: int, size: Size) -> Text:
    if view.typing:
        return bar(f"filter: {one_line(view.match)}_   Enter keeps it, Esc drops it", size, "")
    first = min(view.top + 1, seen.rows)
    shown = f"{first:,}-{min(view.top + page, seen.rows):,} of {seen.rows:,} hosts"
    if view.match:
        shown = f"filter '{one_line(view.match)}': {shown}"
    return bar("q quit  / filter  j k move  ? help", size, shown)


_HELP = (
    "",
    " j k, arrows     select a host; more about it is below the table",
    " space b, pages  a page on, a page back",
    " g G, home end   first host, last host",
    " /               show only hosts with this in their name, agent's id or version",
    " Esc             show all hosts again",
    " q               quit",
    "",
    " SEEN            how long ago the host reported; after 90 seconds it is missing",
    " WAITING, DEAD   events that wait on the host, and its dead letters",
)


def _help() -> list[RenderableType]:
    return [Text(line, no_wrap=True, overflow="ellipsis") for line in _HELP]
