"""`status` and `queue status` as they are printed once.

On a terminal with colours and small charts; elsewhere as plain text in columns that are never cut,
one row per key, for grep, awk and mail.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from pdagent.dashboard.figures import chart_lines
from pdagent.dashboard.findings import STYLES as FINDING_STYLES
from pdagent.dashboard.findings import findings
from pdagent.dashboard.report import QueueReport, StatusReport
from pdagent.dashboard.rows import by_need, queue_table
from pdagent.dashboard.words import STYLES, in_short, rate
from pdagent.wording import age, counted, duration, one_line

_PLAIN_WIDTH = 10_000
_LABEL_WIDTH = 11
_WIDEST_CHARTS = 80


def print_status(
    report: StatusReport,
    console: Console,
    now: datetime,
    options: Callable[[str], str] = str,
    *,
    fit: bool = False,
) -> None:
    """Print the whole status; `now` (aware) is what ages are counted from.

    `options` completes command lines that texts name with the global options that are needed.
    With `fit`, a terminal shows only as many rows as leave its first line on the screen.

    If the agent has more queues than there are rows, a last line says so.
    """
    width = console.width if console.is_terminal else None
    rows = len(report.queues)
    parts = _parts(report, now, width, options, rows)
    if fit and console.is_terminal:
        room = console.height - 1  # the prompt
        while rows > 1 and (beyond := len(console.render_lines(Group(*parts))) - room) > 0:
            rows = max(1, rows - beyond)
            parts = _parts(report, now, width, options, rows)
    print_parts(console, parts)


def print_queues(queues: Sequence[QueueReport], console: Console, now: datetime) -> None:
    """Print the table alone."""
    width = console.width if console.is_terminal else None
    print_parts(console, [_table(by_need(queues), now, width, None)])


def _parts(
    report: StatusReport,
    now: datetime,
    width: int | None,
    options: Callable[[str], str],
    rows: int,
) -> list[RenderableType]:
    """For a terminal of `width` columns, or plain if that is None, with at most `rows` keys."""
    head = Table.grid(padding=(0, 2))
    head.add_column(min_width=_LABEL_WIDTH - 2)
    head.add_column(overflow="fold")
    head.add_row("Agent", _agent(report, now))
    head.add_row("PagerDuty" if report.pagerduty.relay is None else "Relay", _link(report, now))
    totals = report.totals
    head.add_row(
        "Events",
        f"{totals.accepted} accepted, {totals.delivered} delivered, {totals.waiting} waiting, "
        f"{totals.dead_lettered} dead-lettered, {totals.discarded} discarded",
    )
    head.add_row("Oldest", _oldest(report, now))
    traffic = report.agent.traffic
    head.add_row(
        "Now", f"{rate(traffic.accepted_per_second)} in, {rate(traffic.delivered_per_second)} out"
    )
    parts: list[RenderableType] = [head]
    if width is not None and len(traffic.accepted) > 1:
        parts += [
            Text(),
            *chart_lines(traffic, in_short(totals.waiting), min(_WIDEST_CHARTS, width)),
        ]
    parts.append(Text())
    parts += [
        Text(options(str(finding)), style="" if width is None else FINDING_STYLES[finding.level])
        for finding in findings(report, now)
    ]
    parts += [Text(), _table(report.queues[:rows], now, width, report)]
    known = report.agent.queues.matching
    if known > rows:
        more = counted(known - rows, "more key")
        parts.append(Text(f"and {more}: --limit 0 shows all", style="dim"))
    return parts


def print_parts(console: Console, parts: Iterable[RenderableType]) -> None:
    """Print `parts` below each other; elsewhere than on a terminal plain, and never cut."""
    if console.is_terminal:
        console.print(Group(*parts))
        return
    buffer = io.StringIO()
    wide = Console(file=buffer, width=_PLAIN_WIDTH, no_color=True, legacy_windows=False)
    wide.print(Group(*parts))
    lines = (line.rstrip() for line in buffer.getvalue().splitlines())
    console.file.write("".join(f"{line}\n" for line in lines))
    console.file.flush()


def _agent(report: StatusReport, now: datetime) -> str:
    agent = report.agent
    up = f"up {age(agent.started_at, now)}, " if agent.started_at else ""
    return one_line(f"{agent.address}  {up}pid {agent.pid}, version {agent.version}")


def _link(report: StatusReport, now: datetime) -> Text:
    pagerduty = report.pagerduty
    text = Text()
    if pagerduty.relay is not None:
        text.append(f"delivering to {one_line(pagerduty.title)}, ")
    text.append(one_line(pagerduty.state), style=STYLES.get(pagerduty.state, ""))
    if pagerduty.since:
        text.append(f" for {age(pagerduty.since, now)}")
    if pagerduty.last_outage_seconds is not None:
        text.append(f" (before, {duration(pagerduty.last_outage_seconds)} of outage)")
    text.append(f", {pagerduty.in_flight} in flight")
    if pagerduty.last_error and pagerduty.is_down:
        text.append(f": {one_line(pagerduty.last_error)}")
    return text


def _oldest(report: StatusReport, now: datetime) -> str:
    queues = report.agent.queues
    if queues.oldest_waiting_at is None:
        return "no event waits"
    name = queues.oldest_waiting_queue
    waiting = f"{age(queues.oldest_waiting_at, now)} waiting"
    return f"{waiting} ({one_line(name)})" if name else waiting


def _table(
    queues: Sequence[QueueReport], now: datetime, width: int | None, report: StatusReport | None
) -> RenderableType:
    if not queues:
        filtered = report is not None and report.totals.accepted
        return Text("No key matches the filter." if filtered else "No events yet.")
    return queue_table(
        queues,
        now,
        width=width,
        pagerduty=None if report is None else report.pagerduty,
        reasons=True,
    )
