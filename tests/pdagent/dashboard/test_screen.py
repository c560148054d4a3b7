"""The screens of `status --watch`, exactly as they are drawn for a few answers of an agent.

After a change of what is drawn, write the files in `screens/` again and look at the difference:

    PDAGENT_NEW_SCREENS=1 .venv/bin/python -m pytest -q tests/pdagent/dashboard/test_screen.py
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import msgspec
import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType

from pdagent.dashboard.live.screen import Size, page_of, screen
from pdagent.dashboard.live.seen import Happening, Seen
from pdagent.dashboard.live.view import View
from pdagent.dashboard.report import Totals
from tests.pdagent.dashboard.reports import EMPTY, NOW, OUTAGE, WELL, ago

SCREENS = Path(__file__).parent / "screens"
USUAL = Size(80, 24)
BEGUN = Happening(ago(62), "bad", "PagerDuty can't be reached: Connection refused")
IN_OUTAGE = Seen(report=OUTAGE, at=NOW, happenings=(BEGUN,))
LOST = IN_OUTAGE.failed("connection refused", NOW)


def drawn(renderable: RenderableType, size: Size, *, encoding: str = "utf-8") -> list[str]:
    """The lines that a terminal of this size shows, without colours."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="replace")
    console = Console(file=file, width=size.width, height=size.height, color_system=None)
    console.print(renderable)
    file.flush()
    return [line.rstrip() for line in raw.getvalue().decode(encoding).splitlines()]


@pytest.mark.parametrize(
    ("name", "seen", "view", "size"),
    [
        ("outage-80x24", IN_OUTAGE, View(selected=1), USUAL),
        ("outage-120x32", IN_OUTAGE, View(selected=0), Size(120, 32)),
        ("outage-50x12", IN_OUTAGE, View(), Size(50, 12)),
        ("agent-unreachable-80x24", LOST, View(), USUAL),
        ("well-80x24", Seen(report=WELL, at=NOW), View(sort="name"), USUAL),
        ("empty-80x24", Seen(report=EMPTY, at=NOW), View(), USUAL),
        ("help-80x24", IN_OUTAGE, View(help=True), USUAL),
        ("filter-80x24", IN_OUTAGE, View(typing=True, match="ka"), USUAL),
        ("first-look-80x24", Seen(), View(), USUAL),
        ("never-reached-80x24", Seen().failed("connection refused", ago(9)), View(), USUAL),
    ],
)
def test_the_screen_is_as_kept(name: str, seen: Seen, view: View, size: Size) -> None:
    lines = drawn(screen(seen, view, size, NOW), size)
    assert len(lines) == size.height
    assert max(cell_len(line) for line in lines) <= size.width
    file = SCREENS / f"{name}.txt"
    text = "\n".join(lines) + "\n"
    if os.environ.get("PDAGENT_NEW_SCREENS"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def test_a_filter_that_no_key_matches_says_so_and_how_to_be_rid_of_it() -> None:
    summary = msgspec.structs.replace(OUTAGE.agent.queues, matching=0)
    agent = msgspec.structs.replace(OUTAGE.agent, queues=summary)
    report = msgspec.structs.replace(OUTAGE, agent=agent, queues=())
    view = View(match="no such key")
    lines = drawn(screen(Seen(report=report, at=NOW), view, USUAL, NOW), USUAL)
    assert len(lines) == USUAL.height
    assert " No key has 'no such key' in its name or state. Esc shows all keys." in lines


@pytest.mark.parametrize("width", [40, 66, 80, 101, 300])
@pytest.mark.parametrize("height", [10, 17, 18, 29, 30, 33, 60])
@pytest.mark.parametrize("seen", [IN_OUTAGE, LOST, Seen(), Seen(report=EMPTY, at=NOW)])
def test_every_size_is_filled_exactly(width: int, height: int, seen: Seen) -> None:
    size = Size(width, height)
    for view in (View(), View(help=height >= 20), View(typing=True, match="x" * 60)):
        lines = drawn(screen(seen, view, size, NOW), size)
        assert len(lines) == height
        assert max(cell_len(line) for line in lines) <= width


@pytest.mark.parametrize("size", [Size(39, 24), Size(80, 9), Size(1, 1)])
def test_a_terminal_that_is_too_small_is_told_so(size: Size) -> None:
    assert "too small" in " ".join(drawn(screen(IN_OUTAGE, View(), size, NOW), Size(80, 1)))


def test_rows_are_those_from_the_top_row_on_as_far_as_they_are_known() -> None:
    queues = tuple(
        msgspec.structs.replace(OUTAGE.queues[3], queue=f"key-{n:03}") for n in range(40)
    )
    summary = msgspec.structs.replace(OUTAGE.agent.queues, matching=500)
    agent = msgspec.structs.replace(OUTAGE.agent, queues=summary)
    report = msgspec.structs.replace(OUTAGE, queues=queues, agent=agent)
    seen, page = Seen(report=report, at=NOW, offset=100), page_of(USUAL)

    def keys(top: int) -> list[str]:
        lines = drawn(screen(seen, View(selected=top, top=top), USUAL, NOW), USUAL)
        begin = next(n for n, line in enumerate(lines) if line.startswith(" KEY")) + 1
        return [line.split()[0] for line in lines[begin : begin + page] if line]

    assert keys(110) == [f"key-{n:03}" for n in range(10, 10 + page)]
    assert keys(138) == ["key-038", "key-039"]
    assert keys(0) == keys(400) == []
    text = "\n".join(drawn(screen(seen, View(selected=110, top=110), USUAL, NOW), USUAL))
    assert f"111-{110 + page} of 500 keys" in text


def test_large_totals_are_shown_in_full_on_80_columns() -> None:
    totals = Totals(
        accepted=12_345_678, delivered=12_345_000, waiting=100_000, dead_lettered=1_000, discarded=9
    )
    report = msgspec.structs.replace(OUTAGE, totals=totals)
    lines = drawn(screen(Seen(report=report, at=NOW), View(), USUAL, NOW), USUAL)
    assert lines[4].split()[1::2] == ["accepted", "delivered", "waiting", "dead", "discarded"]


def test_a_terminal_without_unicode_gets_other_bars() -> None:
    lines = drawn(screen(IN_OUTAGE, View(), USUAL, NOW), USUAL, encoding="ascii")
    (chart,) = [line for line in lines if line.startswith(" wait")]
    assert chart.endswith(".:-=+*#@"[-1])
    assert "?" not in chart


@pytest.mark.parametrize("no_color", [False, True])
def test_no_color_is_honoured_and_nothing_is_said_by_colour_alone(no_color: bool) -> None:
    file = io.StringIO()
    environment = {"NO_COLOR": "1"} if no_color else {}
    console = Console(
        file=file,
        width=80,
        height=24,
        force_terminal=True,
        color_system="standard",
        _environ={"TERM": "xterm", **environment},
    )
    console.print(screen(IN_OUTAGE, View(), USUAL, NOW))
    # Parameters of "select graphic rendition" from 30 to 49 are colours.
    codes = re.findall(r"\x1b\[([\d;]*)m", file.getvalue())
    colours = [code for code in codes if re.search(r"(^|;)[34]\d(;|$)", code)]
    assert bool(colours) is not no_color
    for words in ("UNREACHABLE", "waits for PagerDuty", "held", "dead-lettered"):
        assert words in file.getvalue()


def test_text_from_outside_cannot_steer_the_terminal() -> None:
    nasty = "\x1b]0;title\x07\x1b[2J[red]x\r\n"
    queue = msgspec.structs.replace(
        OUTAGE.queues[0], queue=nasty, last_error=nasty, hold_reason=nasty
    )
    pagerduty = msgspec.structs.replace(OUTAGE.pagerduty, last_error=nasty)
    agent = msgspec.structs.replace(OUTAGE.agent, address=nasty, trouble=(nasty,))
    report = msgspec.structs.replace(OUTAGE, queues=(queue,), pagerduty=pagerduty, agent=agent)
    seen = Seen(report=OUTAGE, at=NOW).answered(report, 0, NOW)
    for view in (View(), View(match=nasty), View(match=nasty, typing=True)):
        for shown in (seen, seen.failed(nasty, NOW)):
            lines = drawn(screen(shown, view, USUAL, NOW), USUAL)
            assert len(lines) == USUAL.height
            assert "\x1b" not in "".join(lines)


def test_command_lines_have_the_options_that_this_agent_needs() -> None:
    def options(text: str) -> str:
        return text.replace("pagerduty-agent ", "pagerduty-agent --config /a.yaml ")

    # Room for them: on a terminal of 80 columns the end of a long line is cut.
    size = Size(160, 40)
    lines = drawn(screen(IN_OUTAGE, View(), size, NOW, options=options), size)
    listing = "pagerduty-agent --config /a.yaml queue list --state dead_lettered"
    assert any(listing in line for line in lines)
    lines = drawn(screen(LOST, View(), size, NOW, options=options), size)
    assert any("'pagerduty-agent --config /a.yaml server' starts it" in line for line in lines)


def test_on_a_tall_terminal_a_long_last_error_is_readable() -> None:
    why = "http_400: " + "the service of this key was deleted " * 4
    first = msgspec.structs.replace(OUTAGE.queues[0], last_error=why.strip(), last_error_at=NOW)
    report = msgspec.structs.replace(OUTAGE, queues=(first, *OUTAGE.queues[1:]))
    size = Size(80, 40)
    lines = drawn(screen(Seen(report=report, at=NOW), View(), size, NOW), size)
    assert why.strip() in " ".join(line.strip() for line in lines)


def test_with_relays_the_screen_names_the_relay_and_never_pagerduty() -> None:
    for report in (WELL, OUTAGE, EMPTY):
        relay = msgspec.structs.replace(report.pagerduty, relay="https://relay1:49463")
        seen = Seen(report=msgspec.structs.replace(report, pagerduty=relay), at=NOW)
        lines = drawn(screen(seen, View(), USUAL, NOW), USUAL)
        assert lines[1].startswith(" Relay https://relay1:49463 ")
        assert "PagerDuty" not in "\n".join(lines)
