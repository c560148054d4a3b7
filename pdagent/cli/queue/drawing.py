"""Draws events for people: coloured and cut to the width on a terminal, whole lines elsewhere."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from datetime import datetime

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pdagent.operating.rows import EventRow
from pdagent.wording import age, one_line

STYLES = {
    "queued": "",
    "in_flight": "cyan",
    "deferred": "yellow",
    "dead_lettered": "bold red",
    "delivered": "green",
    "discarded": "magenta",
}
_SHORT_ID = 12
_WIDEST = 60
_HEADER = ("ID", "STATE", "QUEUE", "AGE", "TRIES", "SUMMARY", "LAST ERROR")


def short(event_id: str) -> str:
    """The end of an id: chance alone, while ids of the same time begin alike."""
    return event_id[-_SHORT_ID:]


def moment(text: str | None) -> datetime | None:
    """A time of the agent's JSON, None if it is none."""
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


Part = str | tuple[str, str]
"""A text, perhaps with its style; what it says is made safe for terminals."""


def _joined(parts: Iterable[Part]) -> Text:
    text = Text()
    for part in parts:
        content, style = (part, "") if isinstance(part, str) else part
        text.append(one_line(content), style)
    return text


class Paper:
    """Prints lines for people, with colours on a terminal."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self.on_terminal = self._console.is_terminal

    def line(self, *parts: Part) -> None:
        """One line; on a terminal it is cut to the width."""
        if not self.on_terminal:
            self.whole(*parts)
            return
        text = _joined(parts)
        text.rstrip()
        text.truncate(self._console.width, overflow="ellipsis")
        self._console.print(text, soft_wrap=True)

    def whole(self, *parts: Part) -> None:
        """One line whatever its length, so that it can be copied in one piece."""
        if self.on_terminal:
            self._console.print(_joined(parts), soft_wrap=True)
        else:
            # Lists may be long, and drawing a line takes rich a hundred times as long.
            texts = [part if isinstance(part, str) else part[0] for part in parts]
            self._console.file.write(f"{one_line(''.join(texts)).rstrip()}\n")

    def flush(self) -> None:
        """Let what was printed be seen now."""
        self._console.file.flush()

    def entry(self, label: Sequence[Part], *parts: Part) -> None:
        """A label, and a text that continues below itself on a terminal where it is too long."""
        if not self.on_terminal:
            self.whole(*label, *parts)
            return
        grid = Table.grid()
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row(_joined(label), _joined(parts))
        self._console.print(grid)

    def say(self, text: str) -> None:
        """A remark, on a terminal only."""
        if self.on_terminal:
            self.whole((text, "dim"))


class Columns(Paper):
    """Rows of texts below a header. The columns get as wide as the first page needs.

    The cells of the columns with the numbers `right` stand at the right of theirs.
    """

    def __init__(self, right: Container[int]) -> None:
        super().__init__()
        self._right = right
        self._widths: list[int] = []

    def header(self, names: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
        """The header, for columns that have room for `cells`."""
        columns = zip(names, *cells, strict=False)
        self._widths = [min(max(map(cell_len, column)), _WIDEST) for column in columns]
        self.row(names, ["bold"] * len(names) if self.on_terminal else [])

    def row(self, texts: Iterable[str], styles: Sequence[str]) -> None:
        """One row; `styles` are those of its first cells."""
        parts: list[Part] = []
        for place, text in enumerate(texts):
            width = self._widths[place]
            blanks = " " * (width - cell_len(text))
            padded = blanks + text if place in self._right else text + blanks
            parts.append((f"{padded}  ", styles[place] if place < len(styles) else ""))
        self.line(*parts)


class EventTable(Columns):
    """One line an event; on a terminal, ids are short and an error has a line of its own.

    `now` is what ages are counted from.
    """

    def __init__(self, now: datetime) -> None:
        super().__init__(right=(3, 4))
        self._now = now
        self.count = 0

    def print(self, rows: Sequence[EventRow]) -> None:
        """Print a page, with the header if it is the first that holds anything."""
        cells = [self._cells(row) for row in rows]
        if not self.count and rows:
            self.header(_HEADER[:6] if self.on_terminal else _HEADER, cells)
        for row, texts in zip(rows, cells, strict=True):
            self.row(texts, ["", STYLES.get(row.state, "")])
            if self.on_terminal and row.last_error:
                self.line("  ", (row.last_error, "red"))
        self.count += len(rows)

    def _cells(self, row: EventRow) -> list[str]:
        cells = [
            short(row.id) if self.on_terminal else row.id,
            row.state,
            row.queue,
            age(moment(row.accepted_at), self._now),
            "-" if row.attempts is None else str(row.attempts),
            row.summary or row.dedup_key or "-",
        ]
        return cells if self.on_terminal else [*cells, row.last_error or "-"]
