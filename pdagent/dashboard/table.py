"""The status table: totals, and a row per routing key, the longest queue first.

On a terminal it is drawn with colours and rules; elsewhere it is plain text in columns that are
never cut, one row a key, for grep, awk and mail.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from datetime import datetime

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from pdagent.dashboard.report import QueueReport, StatusReport
from pdagent.wording import age, one_line

_STYLES = {
    "active": "green",
    "reachable": "green",
    "unreachable": "bold red",
    "backing off": "yellow",
    "held": "magenta",
    "quarantined": "bold red",
}
_PLAIN_WIDTH = 10_000


def print_status(report: StatusReport, console: Console, now: datetime) -> None:
    """Print the whole status; `now` (aware) is what ages are counted from."""
    head = _head(report, now)
    _print(console, [head, Text(), _table(report.queues, now, plain=not console.is_terminal)])


def print_queues(queues: Sequence[QueueReport], console: Console, now: datetime) -> None:
    """Print the table alone."""
    _print(console, [_table(queues, now, plain=not console.is_terminal)])


def _print(console: Console, parts: Iterable[RenderableType]) -> None:
    if console.is_terminal:
        console.print(Group(*parts))
        return
    buffer = io.StringIO()
    wide = Console(file=buffer, width=_PLAIN_WIDTH, no_color=True, legacy_windows=False)
    wide.print(Group(*parts))
    lines = (line.rstrip() for line in buffer.getvalue().splitlines())
    console.file.write("".join(f"{line}\n" for line in lines))
    console.file.flush()


def _head(report: StatusReport, now: datetime) -> Table:
    grid = Table.grid(padding=(0, 2))
    agent, pagerduty, totals = report.agent, report.pagerduty, report.totals
    up = f"up {age(agent.started_at, now)}, " if agent.started_at else ""
    grid.add_row(
        "Agent", one_line(f"{agent.address}  {up}pid {agent.pid}, version {agent.version}")
    )
    state = Text().append(one_line(pagerduty.state), style=_STYLES.get(pagerduty.state, ""))
    if pagerduty.since:
        state.append(f" for {age(pagerduty.since, now)}")
    state.append(f", {pagerduty.in_flight} in flight")
    if pagerduty.last_error and pagerduty.state != "reachable":
        state.append(f": {one_line(pagerduty.last_error)}")
    grid.add_row("PagerDuty", state)
    grid.add_row(
        "Events",
        f"{totals.accepted} accepted, {totals.delivered} delivered, {totals.waiting} waiting, "
        f"{totals.dead_lettered} dead-lettered, {totals.discarded} discarded",
    )
    return grid


def _table(queues: Sequence[QueueReport], now: datetime, *, plain: bool) -> RenderableType:
    if not queues:
        return Text("No events yet.")
    table = Table(
        box=None if plain else box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        header_style="" if plain else "bold",
    )
    table.add_column("KEY", no_wrap=True)
    for name in ("WAITING", "OLDEST", "DELIVERED", "DEAD"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("STATE", no_wrap=True)
    # The one column that gives way on a narrow terminal; its cells are cut, not wrapped.
    table.add_column("LAST ERROR", no_wrap=plain)
    for queue in sorted(queues, key=lambda queue: (-queue.pending, -queue.error, _name(queue))):
        state = _state(queue)
        table.add_row(
            Text(_name(queue)),
            str(queue.pending),
            age(queue.oldest_waiting_at, now),
            str(queue.success),
            Text(str(queue.error), style="red" if queue.error else ""),
            Text(_in_words(state, queue, now), style=_STYLES.get(state, "")),
            Text(one_line(queue.last_error or ""), no_wrap=True, overflow="ellipsis"),
        )
    return table


def _name(queue: QueueReport) -> str:
    return one_line(queue.queue or queue.routing_key)


def _state(queue: QueueReport) -> str:
    if queue.quarantined:
        return "quarantined"
    return "held" if queue.held else one_line(queue.state.replace("_", " "))


def _in_words(state: str, queue: QueueReport, now: datetime) -> str:
    paced = ", paced" if queue.paced else ""
    if queue.next_attempt_at is None or queue.next_attempt_at <= now or queue.held:
        return state + paced
    return f"{state} {age(now, queue.next_attempt_at)}{paced}"
