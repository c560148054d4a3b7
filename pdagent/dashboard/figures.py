"""The figures of the dashboard: totals, rates, and charts of the last minutes, one line high."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from pdagent.dashboard.report import StatusReport, Totals, TrafficReport
from pdagent.dashboard.words import in_short, rate
from pdagent.wording import age, duration

_LABEL = 20
_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = ".:-=+*#@"


def values_per_column(count: int, width: int) -> int:
    """How many of `count` values share a column: as many as nearly fill `width` with nearly all."""
    return max(1, round(count / max(1, width)))


class Sparkline:
    """`values`, oldest first, as bars; the newest stands at the right edge of `width` columns.

    More values than columns share columns, which show `together` of them; the oldest few may be
    left out. A line that isn't full begins with blanks: that time is unknown. The lowest bar
    means 0.
    """

    def __init__(
        self,
        values: Sequence[float],
        width: int,
        *,
        together: Callable[[Iterable[float]], float] = sum,
        style: str = "",
    ) -> None:
        self._columns = _shared(values, width, together)
        self._width = width
        self._style = style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        levels = _ASCII if options.ascii_only else _BLOCKS
        bars = "".join(_bar(value, max(self._columns), levels) for value in self._columns)
        yield Segment(" " * (self._width - len(bars)))
        yield Segment(bars, console.get_style(self._style) if self._style else Style.null())

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(self._width, self._width)


def _shared(
    values: Sequence[float], width: int, together: Callable[[Iterable[float]], float]
) -> list[float]:
    each = values_per_column(len(values), width)
    # Counted from the newest; an oldest column of fewer values is left out.
    ends = range(len(values), each - 1, -each)[: max(0, width)]
    return [together(values[end - each : end]) for end in reversed(ends)]


def _bar(value: float, most: float, levels: str) -> str:
    if value <= 0 or most <= 0:
        return levels[0]
    return levels[max(1, round(value / most * (len(levels) - 1)))]


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
