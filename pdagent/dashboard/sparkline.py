"""Small charts of the last minutes, one line high."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style

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
