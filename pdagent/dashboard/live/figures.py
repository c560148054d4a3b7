"""The figures of the dashboard: totals, rates, and charts of the last minutes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from pdagent.dashboard.report import StatusReport, Totals, TrafficReport
from pdagent.dashboard.sparkline import Sparkline, values_per_column
from pdagent.dashboard.words import in_short, rate
from pdagent.wording import age, duration

_LABEL = 20


def figures(
    report: StatusReport, width: int, now: datetime, *, charts: bool
) -> list[RenderableType]:
    """A line of totals; with `charts`, seven lines: blanks, totals, and the last minutes."""
    totals, queues = report.totals, report.agent.queues
    line = _totals(totals, "dead-lettered", "{:,}".format)
    for dead, shown in (("dead", "{:,}".format), ("dead", in_short)):
        if line.cell_len > width:
            line = _totals(totals, dead, shown)
    if not charts:
        return [line]
    traffic = report.agent.traffic
    oldest = queues.oldest_waiting_at
    waiting = in_short(totals.waiting) + (f", {age(oldest, now)}" if oldest else "")
    return [Text(), line, *chart_lines(traffic, waiting, width)]


def _totals(totals: Totals, dead: str, shown: Callable[[int], str]) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    for value, word, style in (
        (totals.accepted, "accepted", ""),
        (totals.delivered, "delivered", "green"),
        (totals.waiting, "waiting", "yellow" if totals.waiting else ""),
        (totals.dead_lettered, dead, "bold red" if totals.dead_lettered else ""),
        (totals.discarded, "discarded", ""),
    ):
        line.append(" ").append(shown(value), style=style or "bold").append(f" {word} ")
    line.rstrip()
    return line


def chart_lines(traffic: TrafficReport, waiting: str, width: int) -> list[RenderableType]:
    """Four lines: rates and what waits, each with a chart, and the time that they show."""
    room = min(120, width - _LABEL - 1)
    lines: list[RenderableType] = []
    for label, figure, chart in (
        ("in", rate(traffic.accepted_per_second), Sparkline(traffic.accepted, room, style="cyan")),
        (
            "out",
            rate(traffic.delivered_per_second),
            Sparkline(traffic.delivered, room, style="green"),
        ),
        ("wait", waiting, Sparkline(traffic.waiting, room, together=max, style="yellow")),
    ):
        line = Table.grid(padding=0)
        line.add_column(width=_LABEL, no_wrap=True)
        line.add_column(width=room)
        line.add_row(Text(f" {label:<5}").append(f"{figure:<13}", style="bold"), chart)
        lines.append(line)
    if not traffic.accepted:
        return [*lines, Text()]
    count = len(traffic.accepted)
    shown = min(count, room * values_per_column(count, room))
    minutes = duration(shown * traffic.step_seconds)
    axis = Text(" " * _LABEL + f"the last {minutes}".rjust(room), style="dim")
    return [*lines, axis]
