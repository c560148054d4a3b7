"""What the screens of `--watch` have in common: lines of the terminal's width."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.text import Text

from pdagent.dashboard.live.seen import Lost
from pdagent.dashboard.words import clock
from pdagent.wording import age, one_line

SMALLEST = (40, 10)
"""Columns and lines below which there is only a request for a larger terminal."""


class Size(NamedTuple):
    """Of a terminal, in columns and lines."""

    width: int
    height: int

    @property
    def is_too_small(self) -> bool:
        """Whether there is only room for a request for a larger terminal."""
        return self.width < SMALLEST[0] or self.height < SMALLEST[1]


def too_small() -> Text:
    """This request."""
    return Text(f"The terminal is too small: {SMALLEST[0]}x{SMALLEST[1]} is the least.")


def lost_line(lost: Lost, width: int, now: datetime) -> Text:
    """That the agent does not answer; `now` is aware."""
    since, why = lost.since, one_line(lost.why)
    text = f" AGENT UNREACHABLE since {clock(since)} UTC, for {age(since, now)}: {why}"
    return sides(text, "", width, "bold white on red")


def bar(left: str, size: Size, right: str = "") -> Text:
    """The line at the bottom."""
    return sides(f" {left}", f"{right} " if right else "", size.width, "reverse")


def filled(parts: list[RenderableType], used: int, last: Text, size: Size) -> RenderableType:
    """`parts`, which take `used` lines, and `last` at the bottom of the screen."""
    return Group(*parts, *[Text()] * max(0, size.height - used - 1), last)


def sides(left: str, right: str, width: int, style: str) -> Text:
    """A full line; `left` is cut where it would meet `right`."""
    text = Text(left, style=style)
    text.truncate(max(0, width - len(right) - 1), overflow="ellipsis", pad=True)
    return text.append(f" {right}")
