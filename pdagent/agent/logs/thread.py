"""Writes log lines in a thread of its own, many at once.

Other threads only leave something to be written: the journal's writer must not format, and no
thread must wait for a terminal or a pipe whose reader has stopped.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TextIO, TypeVar

CAPACITY = 50_000
_GATHER = 0.2  # seconds
_STOP_WITHIN = 2.0  # seconds

_T = TypeVar("_T")


class LogThread:
    """Holds at most `CAPACITY` items; what comes on top is dropped, and the log says how many.

    `put` may be called from any thread and never blocks. Until `start` and after `stop`, lines are
    written at once. `remark` makes a line of what the log has to say about itself.
    """

    def __init__(
        self, stream: TextIO, remark: Callable[[str], str] = lambda text: f"{text}\n"
    ) -> None:
        self.remark = remark
        self._stream = stream
        self._waiting: deque[tuple[Callable[[Any], str], Any]] = deque()
        self._dropped = 0
        self._woken = False
        self._wake = threading.Event()
        self._end = threading.Event()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Write in the background from here on."""
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def put(self, render: Callable[[_T], str], item: _T) -> None:
        """Have the lines that `render(item)` returns written; it is called in the log's thread."""
        if len(self._waiting) >= CAPACITY:
            self._dropped += 1
            return
        self._waiting.append((render, item))
        if self._thread is None:
            self._write_waiting()
        elif not self._woken:
            self._woken = True
            self._wake.set()

    def stop(self) -> bool:
        """Write what waits, for 2 s at most; harmless when repeated.

        False if that was too short: the thread still waits for the stream's reader, and another
        write or flush of the stream would wait as well.
        """
        thread, self._thread = self._thread, None
        if thread is not None:
            self._end.set()
            self._wake.set()
            thread.join(_STOP_WITHIN)
            if thread.is_alive():
                return False
            self._write_waiting()
        return True

    def _run(self) -> None:
        while not self._end.is_set():
            self._wake.wait()
            self._end.wait(_GATHER)  # more lines at once for the same wake-up and system call
            self._wake.clear()
            self._woken = False
            self._write_waiting()

    def _write_waiting(self) -> None:
        with self._writing:
            while self._waiting:
                lines: list[str] = []
                while self._waiting and len(lines) < 1_000:
                    render, item = self._waiting.popleft()
                    lines.append(self._rendered(render, item))
                dropped, self._dropped = self._dropped, 0
                if dropped:
                    text = f"{dropped} log lines were dropped: they came too fast"
                    lines.append(self.remark(text))
                # The stream is gone: there is nowhere to report that.
                with contextlib.suppress(OSError, ValueError):
                    self._stream.write("".join(lines))
                    self._stream.flush()

    def _rendered(self, render: Callable[[Any], str], item: Any) -> str:
        try:
            return render(item)
        except Exception as error:  # noqa: BLE001 - one bad line must not end the log
            # Not its text, in which a credential may be.
            return self.remark(f"a line of the log can't be written: {type(error).__name__}")


class LogThreadHandler(logging.Handler):
    """Hands the records of the `logging` module over to a `LogThread`."""

    def __init__(self, thread: LogThread) -> None:
        super().__init__()
        self._thread = thread

    def emit(self, record: logging.LogRecord) -> None:
        """Leave `record` to be formatted and written."""
        self._thread.put(self._render, record)

    def _render(self, record: logging.LogRecord) -> str:
        return f"{self.format(record)}\n"
