"""The whole screen of `status --watch`, from what is known: pure, no clock and no terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from pdagent.dashboard.figures import figures
from pdagent.dashboard.findings import STYLES as FINDING_STYLES
from pdagent.dashboard.findings import findings
from pdagent.dashboard.live.lines import Size, bar, filled, lost_line, sides, too_small
from pdagent.dashboard.live.seen import Seen
from pdagent.dashboard.live.view import View
from pdagent.dashboard.report import QueueReport, StatusReport
from pdagent.dashboard.rows import queue_table
from pdagent.dashboard.words import clock, error_of, name_of, state_in_words
from pdagent.wording import age, counted, duration, one_line

_FEW_LINES, _MANY_LINES = 18, 30


def page_of(size: Size) -> int:
    """How many rows of queues a screen of this size has room for."""
    return max(1, size.height - _fixed_lines(size))


def screen(
    seen: Seen, view: View, size: Size, now: datetime, *, options: Callable[[str], str] = str
) -> RenderableType:
    """Exactly `size.height` lines of at most `size.width` columns; `now` is aware.

    `options` completes command lines that texts name with the global options that are needed.
    """
    asked = now
    if size.is_too_small:
        return too_small()
    parts: list[RenderableType] = [_title(seen, size.width, now)]
    if seen.report is None:
        asking = Text(" Asking the agent...")
        parts.append(asking if seen.lost is None else lost_line(seen.lost, size.width, now))
        return filled(parts, len(parts), Text(" q quit", style="reverse"), size)
    if view.help:
        return filled([*parts, _help()], 1 + len(_HELP), bar("any key goes back", size), size)
    report = seen.report
    if seen.lost is None:
        parts += [_pagerduty(report, size.width, now), *_findings(report, size, now, options)]
    else:
        now = seen.at or now  # ages are those of the last answer
        parts += [lost_line(seen.lost, size.width, asked), *_last_known(now, size, options)]
    parts += figures(report, size.width, now, charts=size.height >= _FEW_LINES)
    rows, page = _shown_rows(seen, view, size), page_of(size)
    table = queue_table(
        rows,
        now,
        pagerduty=report.pagerduty,
        width=size.width - 1,
        selected=view.selected - view.top,
        dim=seen.lost is not None,
    )
    parts.append(Padding(table, (0, 0, 0, 1)))
    parts += [Text()] * (page - len(rows))
    parts += _details(rows, view, report, size, now)
    parts += _happenings(seen, size)
    return Group(*parts, _footer(seen, view, page, size))


def _fixed_lines(size: Size) -> int:
    if size.height < _FEW_LINES:
        return 6  # title, PagerDuty, finding, totals, header of the table, footer
    # Besides: a blank, three charts, another blank, a line of details, an error, what happened.
    more = (_lines_of_findings(size), _lines_of_error(size), _lines_of_happenings(size))
    return 11 + sum(more)


def _lines_of_findings(size: Size) -> int:
    return 3 if size.height >= _MANY_LINES else 1


def _lines_of_error(size: Size) -> int:
    return 3 if size.height >= _MANY_LINES else 1


def _lines_of_happenings(size: Size) -> int:
    return min(8, 1 + max(0, size.height - _MANY_LINES) // 3)


def _title(seen: Seen, width: int, now: datetime) -> Text:
    left, right = " pagerduty-agent", f"{clock(now)} UTC "
    if seen.report is not None:
        agent = seen.report.agent
        left += f"  {one_line(agent.address)}"
        if seen.lost is None:
            up = f"up {age(agent.started_at, now)}  " if agent.started_at else ""
            right = f"{up}pid {agent.pid}  {right}"
    return sides(left, right, width, "bold reverse")


def _pagerduty(report: StatusReport, width: int, now: datetime) -> Text:
    pagerduty = report.pagerduty
    name = one_line(pagerduty.title)
    name = name[0].upper() + name[1:]
    lasts = f" for {age(pagerduty.since, now)}" if pagerduty.since else ""
    right = f"{pagerduty.in_flight} in flight "
    match pagerduty.state:
        case "unreachable" | "failing" as state:
            since = f" (since {clock(pagerduty.since)})" if pagerduty.since else ""
            text = f" {name} {state.upper()}{lasts}{since}"
            if pagerduty.last_error:
                text += f": {one_line(pagerduty.last_error)}"
            return sides(text, "", width, "bold white on red")
        case "reachable":
            text = f" {name} reachable{lasts}"
            if pagerduty.last_outage_seconds is not None:
                text += f", after an outage of {duration(pagerduty.last_outage_seconds)}"
            return sides(text, right, width, "bold black on green")
        case _ if pagerduty.in_flight:
            text = f" {name} has not answered yet: the first delivery is under way"
            return sides(text, right, width, "reverse")
        case _:
            text = f" {name} not asked yet: nothing had to be delivered since the start"
            return sides(text, "", width, "reverse")


def _findings(
    report: StatusReport, size: Size, now: datetime, options: Callable[[str], str]
) -> list[RenderableType]:
    found, most = findings(report, now), _lines_of_findings(size)
    lines: list[RenderableType] = []
    for place, finding in enumerate(found[:most]):
        left = len(found) - most if place == most - 1 else 0
        more = f"  (+{left} more)" if left > 0 else ""
        text = Text(f" {options(str(finding))}", style=FINDING_STYLES[finding.level])
        text.truncate(size.width - len(more), overflow="ellipsis")
        lines.append(text.append(more, style="dim"))
    return lines + [Text()] * (most - len(lines))


def _last_known(at: datetime, size: Size, options: Callable[[str], str]) -> list[RenderableType]:
    said = f" This is what it said at {clock(at)} UTC."
    line = f"{said} '{options('pagerduty-agent server')}' starts it."
    if len(line) > size.width:  # a command line that is cut off is none
        line = f"{said} Start it again, with the same --config."
    text = Text(line, style="bold", no_wrap=True, overflow="ellipsis")
    return [text, *[Text()] * (_lines_of_findings(size) - 1)]


def _shown_rows(seen: Seen, view: View, size: Size) -> Sequence[QueueReport]:
    assert seen.report is not None
    start = view.top - seen.offset
    if start < 0:
        return ()
    return seen.report.queues[start : start + page_of(size)]


def _details(
    rows: Sequence[QueueReport], view: View, report: StatusReport, size: Size, now: datetime
) -> list[RenderableType]:
    """Lines about the selected queue, where less is cut than in the table."""
    if size.height < _FEW_LINES:
        return []
    most = _lines_of_error(size)
    keys = report.agent.queues
    if view.match and not keys.matching:
        none = f" No key has '{one_line(view.match)}' in its name or state. Esc shows all keys."
        return [Text(none, no_wrap=True, overflow="ellipsis"), *[Text()] * most]
    place = view.selected - view.top
    if not 0 <= place < len(rows):
        return [Text()] * (1 + most)
    queue = rows[place]
    first = Text(f" {name_of(queue)}", style="bold", no_wrap=True, overflow="ellipsis")
    state = state_in_words(queue, now, report.pagerduty, speed=True)
    if queue.next_attempt_at is not None and queue.next_attempt_at > now:
        state += f" (until {clock(queue.next_attempt_at)} UTC)"
    if queue.hold_reason:
        state += f" ({one_line(queue.hold_reason)})"
    first.append(
        f"  {state}, {queue.pending:,} waiting, {queue.success:,} delivered", style="not bold"
    )
    error = "no error so far"
    if queue.last_error:
        when = f" {age(queue.last_error_at, now)} ago" if queue.last_error_at else ""
        error = f"last error{when}: {error_of(queue)}"
    lines = textwrap.wrap(error, size.width - 2, max_lines=most, placeholder="…")
    lines += [""] * (most - len(lines))
    shown = [Text(f" {line}", style="dim", no_wrap=True, overflow="ellipsis") for line in lines]
    return [first, *shown]


def _happenings(seen: Seen, size: Size) -> list[RenderableType]:
    if size.height < _FEW_LINES:
        return []
    most = _lines_of_happenings(size)
    lines: list[RenderableType] = []
    for happening in seen.happenings[-most:]:
        line = Text(f" {clock(happening.at)} ", style="dim", no_wrap=True, overflow="ellipsis")
        lines.append(
            line.append(happening.text, style=f"not dim {FINDING_STYLES[happening.level]}")
        )
    return [Text()] * (most - len(lines)) + lines


def _footer(seen: Seen, view: View, page: int, size: Size) -> Text:
    rows = seen.rows
    if view.typing:
        return bar(f"filter: {one_line(view.match)}_   Enter keeps it, Esc drops it", size, "")
    first = min(view.top + 1, rows)
    shown = f"{first:,}-{min(view.top + page, rows):,} of {counted(rows, 'key')}"
    if view.match:
        shown = f"filter '{one_line(view.match)}': {shown}"
    return bar(f"q quit  s sort: {view.sort}  / filter  j k move  ? help", size, shown)


_HELP = (
    "",
    " j k, arrows     select a key; its state and last error are below the table",
    " space b, pages  a page on, a page back",
    " g G, home end   first key, last key",
    " s S             sort by waiting, oldest, dead, delivered, error, name",
    " /               show only keys whose name or state has this in it: held, paced,",
    "                 sending, rate limited, backing off, quarantined, dead lettered",
    " Esc             show all keys again",
    " q               quit",
    "",
    " in, out, wait   events accepted, delivered, waiting over the last 10 minutes",
    " DEAD            events that PagerDuty refused: 'pagerduty-agent queue list'",
    " paced           PagerDuty limited the rate of this key, so it is served slowly",
    " quarantined     the key's actor failed again and again, it is tried again later",
)


def _help() -> RenderableType:
    return Group(*[Text(line, no_wrap=True, overflow="ellipsis") for line in _HELP])
