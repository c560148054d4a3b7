"""The table of queues, a row per routing key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

from pdagent.dashboard.report import PagerDutyReport, QueueReport
from pdagent.dashboard.words import (
    STYLES,
    error_and_age,
    is_over,
    name_of,
    state_in_words,
    state_of,
)
from pdagent.wording import age, one_line

WIDE = 100
"""Columns from which on there is room for what one doesn't look for first."""
NARROW = 66
"""Columns below which errors would be cut to nothing."""
_LONGEST_NAME, _LONGEST_NAME_WIDE = 20, 40
_LONGEST_STATE, _LONGEST_STATE_WIDE = 24, 32


def queue_table(
    queues: Sequence[QueueReport],
    now: datetime,
    *,
    pagerduty: PagerDutyReport | None = None,
    width: int | None = None,
    selected: int | None = None,
    dim: bool = False,
    reasons: bool = False,
) -> Table:
    """The rows in their order.

    With `width`, in columns of the terminal, names and errors are cut to fit, and narrow terminals
    do without some columns; without it nothing is ever cut. An error after which something was
    delivered is not shown. `selected` is the number of a row to stand out. With `reasons`, a held
    queue has the one beside its state that the operator gave.
    """
    wide = width is None or width >= WIDE
    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="" if width is None else "bold",
        expand=width is not None,
        style="dim" if dim else "",
    )
    longest = None if width is None else _LONGEST_NAME_WIDE if wide else _LONGEST_NAME
    table.add_column("KEY", no_wrap=True, max_width=longest, overflow="ellipsis")
    for name in ("WAITING", "OLDEST", *(["DELIVERED"] if wide else []), "DEAD"):
        table.add_column(name, justify="right", no_wrap=True)
    longest = None if width is None else _LONGEST_STATE_WIDE if wide else _LONGEST_STATE
    table.add_column("STATE", no_wrap=True, max_width=longest, overflow="ellipsis")
    narrow = width is not None and width < NARROW
    if not narrow:
        table.add_column(
            "LAST ERROR", no_wrap=True, overflow="ellipsis", ratio=None if width is None else 1
        )
    for place, queue in enumerate(queues):
        state = state_of(queue, now, pagerduty)
        style = "" if place == selected else STYLES.get(state, "")
        table.add_row(
            Text(name_of(queue)),
            f"{queue.pending:,}" if width else str(queue.pending),
            age(queue.oldest_waiting_at, now),
            *([f"{queue.success:,}" if width else str(queue.success)] if wide else []),
            Text(str(queue.error), style="red" if queue.error and place != selected else ""),
            Text(_state(queue, now, pagerduty, speed=wide, reasons=reasons), style=style),
            *([] if narrow else [Text("" if is_over(queue) else error_and_age(queue, now))]),
            style="reverse" if place == selected else "",
        )
    return table


def _state(
    queue: QueueReport,
    now: datetime,
    pagerduty: PagerDutyReport | None,
    *,
    speed: bool,
    reasons: bool,
) -> str:
    words = state_in_words(queue, now, pagerduty, speed=speed)
    why = queue.hold_reason if reasons and queue.held and not queue.quarantined else None
    return f"{words} ({one_line(why)})" if why else words


def by_need(queues: Sequence[QueueReport]) -> list[QueueReport]:
    """The longest queue first, then the one with most dead letters."""
    return sorted(queues, key=lambda queue: (-queue.pending, -queue.error, name_of(queue)))
