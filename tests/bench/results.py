"""What came of a row, as a line for people and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan, nan

import msgspec

from bench.rows import Row


class Result(msgspec.Struct, kw_only=True):
    """A row's best figure, or median if compared, and all `figures`; NaN could not be measured.

    With another commit: its figure, and how many times as good ours is, of which `least` is
    required.
    """

    row: Row
    figure: float = nan
    figures: list[float] = []
    base_figures: list[float] = []
    base_figure: float = nan
    times: float = nan
    least: float | None = None
    problem: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether it reaches what is required of it."""
        if self.problem:
            return False
        if self.least is not None:
            return isnan(self.times) or self.times >= self.least
        return not isnan(self.figure) and self.row.is_met_by(self.figure)

    def line(self) -> str:
        """For people."""
        row = self.row
        text = f"{row.name:<48} {_number(self.figure):>8} {row.unit:<15} "
        if self.problem:
            return f"{text} FAILED: {self.problem}"
        if self.least is not None:
            if isnan(self.times):
                return f"{text}not comparable"
            text += f"base {_number(self.base_figure):>8}  {self.times:5.2f} times as good"
            text += f" (>= {self.least})"
            below = "SLOWER" if self.least <= 1.0 else "MISSED"
            return f"{text:<118} {'ok' if self.is_ok else below}"
        goal = "" if row.goal is None else f"{'<=' if row.less else '>='} {_number(row.goal)}"
        verdict = "" if row.goal is None else "ok" if self.is_ok else "MISSED"
        return f"{text} {goal:<10} {verdict}"

    def as_json(self) -> dict[str, object]:
        """All of it; what is not known is left out."""
        known: dict[str, object] = {
            "name": self.row.name,
            "unit": self.row.unit,
            "ok": self.is_ok,
            "figures": self.figures,
        }
        if self.base_figures:
            known["base_figures"] = self.base_figures
        for name in ("figure", "base_figure", "times"):
            if not isnan(value := getattr(self, name)):
                known[name] = value
        if self.row.goal is not None:
            known["goal"] = self.row.goal
            known["goal_is"] = "at most" if self.row.less else "at least"
        if self.least is not None:
            known["least_times"] = self.least
        if self.problem:
            known["problem"] = self.problem
        return known


def markdown(results: Sequence[Result]) -> str:
    """The rows as a table for docs/performance.md."""
    lines = ["| row | goal | figure |", "|---|---|---|"]
    for result in results:
        row = result.row
        goal = "-" if row.goal is None else f"{'at most' if row.less else 'at least'} "
        goal += "" if row.goal is None else _number(row.goal)
        lines.append(f"| {row.name} | {goal} | {_number(result.figure)} {row.unit} |")
    return "\n".join(lines)


def _number(value: float) -> str:
    if isnan(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
