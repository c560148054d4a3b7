"""All rows with their goals, in the order of docs/performance.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from pathlib import Path

import msgspec

from bench.context import Bench
from bench.measures import accepting, commands, deliveries, fleet, journals, operators, queues

LEAST_TIMES = 0.95
"""Of another commit's speed: a checkout below it is slower."""

REFERENCE = "507c2fb"
TIMES_REFERENCE = 1.5
"""The commit whose ratios to LMDB are the measure, and how many times as good they are to be."""


class Row(msgspec.Struct, frozen=True):
    """A figure and its goal: at most `goal` if less is better, else at least; None is no goal.

    `compared` with another commit, unless single figures say too little. `times_reference`: at
    least so many times as good as `REFERENCE`, when that is the other commit.
    """

    name: str
    goal: float | None
    unit: str = ""
    less: bool = False
    compared: bool = True
    times_reference: float | None = None

    def is_met_by(self, figure: float) -> bool:
        """Whether the figure reaches the goal."""
        if self.goal is None:
            return True
        return figure <= self.goal if self.less else figure >= self.goal

    def best(self, figures: Sequence[float]) -> float:
        """The best one."""
        return min(figures) if self.less else max(figures)

    def times(self, figure: float, other: float) -> float:
        """How many times as good as the other a figure is."""
        ours, theirs = (other, figure) if self.less else (figure, other)
        return ours / theirs if theirs else inf


class Group(msgspec.Struct, frozen=True):
    """Rows that one measurement of a checkout gives, in their order; further figures are unused."""

    measure: Callable[[Bench, Path], Sequence[float]]
    rows: tuple[Row, ...]


def at_least(name: str, goal: float | None, unit: str = "", *, compared: bool = True) -> Row:
    """A row whose figure is to be large."""
    return Row(name, goal, unit, compared=compared)


def at_most(name: str, goal: float | None, unit: str = "", *, compared: bool = True) -> Row:
    """A row whose figure is to be small."""
    return Row(name, goal, unit, less=True, compared=compared)


def of_lmdb(name: str, reference: float | None) -> Row:
    """A row in times of LMDB alone; the goal follows from what `REFERENCE` reaches, if known."""
    goal = None if reference is None else TIMES_REFERENCE * reference
    return Row(name, goal, "x LMDB", times_reference=TIMES_REFERENCE)


def _command(name: str, goal: float) -> Group:
    return Group(partial(commands.cost, of=name), (at_most(name, goal, "x python -c pass"),))


def _backlog(count: int, latency: float, goal: float) -> Group:
    name = f"backlog of 200 keys, {1000 * latency:.0f} ms"
    measure = partial(deliveries.backlog, count=count, latency=latency)
    return Group(measure, (at_least(name, goal, "/s"),))


def _number_of(connections: int) -> str:
    return f"{connections} connection{'s' if connections > 1 else ''}"


def _down(connections: int, reference: float | None) -> Group:
    row = of_lmdb(f"accepts, PagerDuty down, {_number_of(connections)}", reference)
    return Group(partial(accepting.down, connections=connections), (row,))


def _delivering(connections: int, reference: float | None) -> Group:
    row = of_lmdb(f"accepts, delivering, {_number_of(connections)}", reference)
    p99 = at_most("accept latency p99, delivering, 64 connections", 40.0, "ms", compared=False)
    rows = (row, p99) if connections == 64 else (row,)
    return Group(partial(accepting.delivering, connections=connections), rows)


GROUPS = (
    _command("send", 6.5),
    _command("enqueue", 6.5),
    _command("change", 6.5),
    _command("run", 6.5),
    _command("status", 15.0),
    _backlog(6_000, 0.0, 2_600.0),
    _backlog(5_000, 0.05, 1_100.0),
    _backlog(2_000, 0.2, 300.0),
    Group(
        deliveries.beside_intake,
        (
            # The drain rate is another row's: a faster one must not make these look slower.
            at_least("deliveries while 64 connections post", 0.6, "x drain rate", compared=False),
            at_least("deliveries during a batch", 0.6, "x drain rate", compared=False),
            at_least("deliveries while 64 connections post", None, "/s"),
            at_least("deliveries during a batch", None, "/s"),
        ),
    ),
    Group(
        deliveries.one_key,
        (
            at_least("one key, no latency", 1_500.0, "/s"),
            at_most("one key, CPU per delivery", 300.0, "us"),
            at_most("one key, voluntary switches per delivery", 8.0),
        ),
    ),
    _down(64, None),
    _down(16, None),
    _down(1, None),
    _delivering(64, None),
    _delivering(16, None),
    _delivering(1, None),
    Group(
        journals.commit,
        (at_most("commit of 256 events beside a computing thread", 30.0, "ms"),),
    ),
    Group(accepting.one_batch, (at_least("batch, 200 keys", 20_000.0, "/s"),)),
    Group(
        journals.start,
        (
            at_most("start, empty", 0.3, "s"),
            at_least("start, 1,000,000 records", 400_000.0, "/s"),
            at_least("start, 1,000,000 records", None, "x raw cursor", compared=False),
        ),
    ),
    Group(
        queues.long_queue,
        (
            at_most("waiting event, memory", 300.0, "B"),
            at_most("snapshot of 500,000 waiting, longest answer", 20.0, "ms", compared=False),
            at_most("snapshot of 500,000 waiting, memory", None, "MB", compared=False),
        ),
    ),
    Group(queues.idle, (at_most("idle, memory", 42.0, "MB"),)),
    Group(
        queues.many_keys,
        (
            at_most("50,000 known keys, memory of each", 1_000.0, "B"),
            at_most("50,000 known keys, idle CPU", 1.0, "%", compared=False),
            at_most("50,000 known keys, /status?limit=20", 20.0, "ms"),
            at_most("50,000 known keys, restart", 2.0, "s"),
        ),
    ),
    Group(
        operators.slowest_question,
        (at_most("slowest question with 100,000 events waiting", 100.0, "ms"),),
    ),
    Group(
        fleet.reports,
        (at_most("relay, CPU for the reports of 10,000 hosts", 10.0, "%", compared=False),),
    ),
)


def chosen(text: str) -> list[tuple[Group, frozenset[Row]]]:
    """The groups with a row whose name contains `text`, each with these rows."""
    found = (
        (group, frozenset(row for row in group.rows if text.lower() in row.name.lower()))
        for group in GROUPS
    )
    return [(group, rows) for group, rows in found if rows]
