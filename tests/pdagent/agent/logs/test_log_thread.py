"""The log's thread: it holds nobody up, and neither a line nor a stream that fails ends it."""

from __future__ import annotations

import io
import logging
import threading

from pdagent.agent.logs.thread import CAPACITY, LogThread, LogThreadHandler


def test_a_log_that_nobody_reads_holds_nobody_up_and_says_what_is_missing() -> None:
    stream, blocked, written = io.StringIO(), threading.Event(), threading.Event()

    def block(_: int) -> str:
        written.set()
        blocked.wait(30)
        return "first\n"

    thread = LogThread(stream)
    thread.start()
    thread.put(block, 0)
    assert written.wait(30)
    for number in range(CAPACITY + 5):
        thread.put(lambda n: f"line {n}\n", number)
    blocked.set()
    thread.stop()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "first"
    assert len(lines) == 2 + CAPACITY
    assert sum("5 log lines were dropped" in line for line in lines) == 1


def test_a_line_that_cannot_be_made_leaves_a_remark_and_does_not_end_the_log() -> None:
    stream = io.StringIO()
    thread = LogThread(stream)
    thread.start()
    for render in (str, lambda item: str({}[item]), str):
        thread.put(render, "a line\n")
    assert thread.stop()
    assert stream.getvalue().splitlines() == [
        "a line",
        "a line of the log can't be written: KeyError",
        "a line",
    ]


def test_stop_tells_whether_anybody_took_what_was_left() -> None:
    blocked = threading.Event()

    class Stuck(io.StringIO):
        def flush(self) -> None:
            blocked.wait(30)

    thread = LogThread(Stuck())
    thread.start()
    thread.put(str, "text\n")
    assert not thread.stop()
    blocked.set()


def test_a_stream_that_is_gone_is_no_failure() -> None:
    stream = io.StringIO()
    thread = LogThread(stream)
    handler = LogThreadHandler(thread)
    stream.close()
    handler.emit(logging.LogRecord("x", logging.INFO, "", 0, "text", (), None))
    thread.stop()
