"""Shows the demo: a live picture on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pdagent.demo.judgement import Judgement

AgentState = Literal["starting", "running", "killed"]
Reachability = Literal["up", "down"]


class Chapter(msgspec.Struct, frozen=True):
    """A sentence of the story, told `at` seconds after the beginning."""

    at: float
    text: str


class DemoPicture(Protocol):
    """What a view shows, `at` seconds after the beginning."""

    @property
    def at(self) -> float:
        """Seconds."""

    @property
    def chapters(self) -> Sequence[Chapter]:
        """The story so far."""

    @property
    def finished(self) -> bool:
        """Whether it is the last one."""

    def drawn(self, console: Console) -> RenderableType:
        """All of it, at most as high as the terminal."""

    def counted(self) -> str:
        """The figures in one line."""


class QueueCounts(msgspec.Struct, frozen=True):
    """One queue, as the agent counts its events."""

    name: str
    accepted: int = 0
    delivered: int = 0
    waiting: int = 0


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """What can be seen `at` seconds after the beginning; `refused` tries were not acknowledged."""

    at: float
    agent: AgentState
    pid: int | None
    pagerduty: Reachability
    chapters: tuple[Chapter, ...]
    queues: tuple[QueueCounts, ...]
    refused: int
    finished: bool = False

    @property
    def total(self) -> QueueCounts:
        """All queues together."""
        return QueueCounts(
            "all",
            sum(queue.accepted for queue in self.queues),
            sum(queue.delivered for queue in self.queues),
            sum(queue.waiting for queue in self.queues),
        )

    def drawn(self, console: Console) -> RenderableType:
        """The picture; the story's beginning goes first where there is no room for all."""
        room = max(1, console.height - len(self.queues) - _LINES_AROUND_CHAPTERS)
        return Group(
            _head(self),
            Text(),
            *story_lines(self.chapters, room, plain=console.options.ascii_only),
            Text(),
            _table(self, console),
        )

    def counted(self) -> str:
        """The figures in one line."""
        total = self.total
        return (
            f"accepted {total.accepted}, delivered {total.delivered}, "
            f"waiting {total.waiting}; agent {self.agent}, PagerDuty {self.pagerduty}"
        )


_LINES_AROUND_CHAPTERS = 7
_LONGEST_NUMBER_COLUMNS = 42
_SHORTEST_BAR = 10
_FULL_BAR_AT_LEAST = 150
_PLAIN_EVERY = 2.0  # seconds
_STYLES = {
    "running": "green",
    "starting": "yellow",
    "killed": "bold red",
    "up": "green",
    "down": "bold red",
}


class LiveView:
    """Redraws one picture in place, as long as its `with` block lasts."""

    def __init__(self, console: Console) -> None:
        self._console = console
        # Redrawn by `show` alone: what is shown is of one moment, and no thread draws beside it.
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        self._console.print()

    def show(self, picture: DemoPicture) -> None:
        """Draw the picture over the last one."""
        self._live.update(picture.drawn(self._console), refresh=True)


class PlainView:
    """Prints each sentence of the story once, and a line of counts every 2 seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told = 0
        self._counted_at = 0.0

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, picture: DemoPicture) -> None:
        """Print what is new."""
        for chapter in picture.chapters[self._told :]:
            self._line(f"{clock(chapter.at)}  {chapter.text}")
        self._told = len(picture.chapters)
        if picture.at - self._counted_at >= _PLAIN_EVERY or picture.finished:
            self._counted_at = picture.at
            self._line(f"{clock(picture.at)}    {picture.counted()}")

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def verdict_lines(judgement: Judgement) -> list[str]:
    """What the demo says at its very end, one line each."""
    said = "Every event that was accepted has arrived, each queue in order of acceptance."
    if not judgement.promise_kept:
        said = "A promise was broken: events were lost or arrived out of order."
    lines = [said]
    if judgement.duplicates:
        lines.append(
            f"{judgement.duplicates} arrived twice, as their first answer was lost; "
            f"incidents opened: {judgement.incidents}."
        )
    counts = {
        "accepted": judgement.accepted,
        "delivered": judgement.delivered,
        "lost": judgement.lost,
        "out of order": judgement.out_of_order,
        "duplicates": judgement.duplicates,
    }
    return [*lines, *(f"{name:<12} {count:>6}" for name, count in counts.items())]


def _head(picture: Frame) -> Text:
    head = Text(no_wrap=True, overflow="ellipsis")
    head.append(f"{clock(picture.at)}  agent ")
    pid = f" (pid {picture.pid})" if picture.pid and picture.agent != "killed" else ""
    head.append(f"{picture.agent}{pid}", style=_STYLES[picture.agent])
    head.append(", PagerDuty ")
    head.append(picture.pagerduty, style=_STYLES[picture.pagerduty])
    if picture.refused:
        head.append(f", {picture.refused} sends retried", style="dim")
    return head


def story_lines(told: Sequence[Chapter], room: int, *, plain: bool) -> list[Text]:
    """The last `room` sentences, one line each; `plain`: in ASCII."""
    chapters = told[-room:]
    lines = []
    for chapter in chapters:
        latest = chapter is chapters[-1]
        mark = (">" if plain else "▶") if latest else " "
        style = "bold" if latest else "dim"
        text = f"{mark} {clock(chapter.at)}  {chapter.text}"
        lines.append(Text(text, style=style, no_wrap=True, overflow="ellipsis"))
    return lines


def _table(picture: Frame, console: Console) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=True)
    total = picture.total
    table.add_column("QUEUE", footer="all", no_wrap=True)
    for name, count in (
        ("ACCEPTED", total.accepted),
        ("DELIVERED", total.delivered),
        ("WAITING", total.waiting),
    ):
        table.add_column(name, footer=str(count), justify="right", no_wrap=True)
    width = max(_SHORTEST_BAR, console.width - _LONGEST_NUMBER_COLUMNS)
    plain = console.options.ascii_only
    table.add_column(_legend(plain), no_wrap=True)
    delivered, waiting = _glyphs(plain)
    full = max(_FULL_BAR_AT_LEAST, *(queue.accepted for queue in picture.queues))
    for queue in picture.queues:
        table.add_row(
            queue.name,
            str(queue.accepted),
            str(queue.delivered),
            Text(str(queue.waiting), style="yellow" if queue.waiting else ""),
            bar(
                ((queue.delivered, delivered, "green"), (queue.waiting, waiting, "yellow")),
                width / full,
            ),
            style="dim" if picture.agent == "killed" else "",
        )
    return table


def _legend(plain: bool) -> Text:
    delivered, waiting = _glyphs(plain)
    return Text.assemble(
        (delivered, "green"), (" delivered  ", ""), (waiting, "yellow"), (" waiting", "")
    )


def bar(parts: Sequence[tuple[int, str, str]], scale: float) -> Text:
    """Parts, each a count, its glyph and its style, `scale` glyphs for one; none is invisible."""
    text, total = Text(), 0
    for count, glyph, style in parts:
        total += count
        length = round(total * scale) - len(text)
        text.append(glyph * max(length, 1 if count else 0), style)
    return text


def _glyphs(plain: bool) -> tuple[str, str]:
    return ("#", ".") if plain else ("█", "░")


def clock(seconds: float) -> str:
    """As `1:05`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
