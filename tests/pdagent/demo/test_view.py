"""How the demo looks on terminals of several sizes, and without one."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from pdagent.demo.view import Chapter, Frame, PlainView, QueueCounts

QUEUES = tuple(
    QueueCounts(name, 200, 120, 80)
    for name in ("web", "api", "database", "network", "storage", "backup")
)


def picture(at: float = 75.0, chapters: int = 8, *, finished: bool = False) -> Frame:
    return Frame(
        at=at,
        agent="running",
        pid=1234567,
        pagerduty="down",
        chapters=tuple(Chapter(float(n), f"Chapter {n}") for n in range(1, chapters + 1)),
        queues=QUEUES,
        refused=1234,
        finished=finished,
    )


def lines_on(width: int, height: int, encoding: str = "utf-8") -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, width=width, height=height, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(picture().drawn(console))
    return captured.get().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 15), (200, 60), (60, 20)])
def test_the_picture_fits_the_terminal(width: int, height: int) -> None:
    lines = lines_on(width, height)
    assert len(lines) < height
    assert all(len(line) <= width for line in lines)
    assert any("Chapter 8" in line for line in lines)
    for queue in QUEUES:
        assert any(line.startswith(queue.name) for line in lines)


def test_the_whole_story_is_seen_on_80x24() -> None:
    text = "\n".join(lines_on(80, 24))
    for number in range(1, 9):
        assert f"Chapter {number}" in text
    assert "1:15  agent running (pid 1234567), PagerDuty down, 1234 sends retried" in text


def test_a_terminal_without_utf_8_gets_ascii() -> None:
    text = "\n".join(lines_on(80, 24, "ascii"))
    assert text.isascii()
    assert "###" in text


def test_without_a_terminal_each_sentence_is_printed_once_and_counts_now_and_then() -> None:
    file = io.StringIO()
    with PlainView(Console(file=file, width=20)) as view:
        for tenth in range(50):
            view.show(picture(tenth / 10, chapters=1 + tenth // 20))
        view.show(picture(5.0, chapters=3, finished=True))
    counted = "accepted 1200, delivered 720, waiting 480; agent running, PagerDuty down"
    assert file.getvalue().splitlines() == [
        "0:01  Chapter 1",
        "0:02  Chapter 2",
        f"0:02    {counted}",
        "0:03  Chapter 3",
        f"0:04    {counted}",
        f"0:05    {counted}",
    ]
