"""A line on the terminal that shows how far a long command has come."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar

from pdagent.cli import output
from pdagent.wording import duration

_Row = TypeVar("_Row")

_WIDTH = 24
_SECONDS = 0.1  # between two drawings
_LOOK_EVERY = 64  # rows, between two looks at the clock
_SURE_AFTER = 2.0  # seconds, until what is left can be told
_ERASED = "\r\x1b[K"


class Progress:
    """A bar on standard error; nothing at all if that is no terminal.

    `label` says what is done. With `beside_output`, also nothing if standard output is the same
    terminal: its lines would run into the bar. A context manager, at whose end the bar is gone.
    """

    def __init__(self, label: str, *, beside_output: bool = False) -> None:
        dumb = os.environ.get("TERM", "dumb") == "dumb"
        crossed = beside_output and _is_terminal(sys.stdout)
        self.on_terminal = _is_terminal(sys.stderr)
        self._shown = self.on_terminal and not dumb and not crossed
        self._label = label
        self._began = self._drawn = time.monotonic()

    def __enter__(self) -> Self:
        if self._shown:
            output.before_line.append(self._erase)
            self._write(self._label)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._shown:
            output.before_line.remove(self._erase)
            self._erase()

    def watch(self, rows: Iterable[_Row], total: int) -> Iterable[_Row]:
        """Pass on `rows`, of which there are about `total`, and draw how far this is."""
        return self._watched(rows, total) if self._shown else rows

    def _watched(self, rows: Iterable[_Row], total: int) -> Iterator[_Row]:
        self._began = time.monotonic()
        for count, row in enumerate(rows):
            if count % _LOOK_EVERY == 0:
                self.reached(count, total)
            yield row

    def reached(self, done: int, total: int | None, more: str = "") -> None:
        """Draw that `done` of `total` is done (None: nobody knows), with a remark."""
        now = time.monotonic()
        if not self._shown or now - self._drawn < _SECONDS:
            return
        self._drawn = now
        parts = []
        if total:
            part = min(1.0, done / total)
            full = int(part * _WIDTH)
            parts.append(f"[{'#' * full}{'.' * (_WIDTH - full)}] {part:4.0%}")
            if part and now - self._began > _SURE_AFTER:
                parts.append(f"{duration((now - self._began) * (1 - part) / part)} left")
        # The label last: where it is long, it is cut.
        self._write("  ".join([*parts, *([more] if more else []), self._label]))

    def _write(self, text: str) -> None:
        columns = 80
        with suppress(OSError):
            columns = os.get_terminal_size(sys.stderr.fileno()).columns or columns
        self._put(f"{_ERASED}{text[: columns - 1]}")

    def _erase(self) -> None:
        self._put(_ERASED)

    def _put(self, text: str) -> None:
        with suppress(OSError):  # the terminal is gone: the work goes on
            sys.stderr.write(text)
            sys.stderr.flush()


def _is_terminal(stream: object) -> bool:
    return bool(stream is not None and stream.isatty())  # type: ignore[attr-defined]
