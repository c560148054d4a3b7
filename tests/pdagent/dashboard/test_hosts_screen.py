"""The screen of `status --fleet --watch`; `test_screen.py` says how to renew what is kept."""

from __future__ import annotations

import os

import pytest
from rich.cells import cell_len

from pdagent.dashboard.live.hosts import SORTS, SeenHosts, hosts_screen
from pdagent.dashboard.live.lines import Size
from pdagent.dashboard.live.view import View
from pdagent.fleet.rows import HostPage, HostRow
from pdagent.fleet.table import FleetSums
from tests.pdagent.dashboard.reports import NOW, ago
from tests.pdagent.dashboard.test_screen import SCREENS, USUAL, drawn


def row(number: int, **fields: object) -> HostRow:
    last = {"last_report_at": ago(number % 30).isoformat(), "relay": "https://relay1:49463"}
    fields = {"host": f"web{number}", "agent_id": f"01a2-{number}", "version": "1.0.0", **fields}
    return HostRow(**{**last, **fields})  # type: ignore[arg-type]


ILL = [
    row(1, missing=True, needs_attention=True, last_report_at=ago(3_700).isoformat()),
    row(2, trouble="the journal's disk does not answer\x1b[2J", needs_attention=True),
    row(3, dead_letters=12, waiting=2_000, oldest_waiting_at=ago(900).isoformat()),
    row(4, held_queues=2, waiting=1, host="a-host-with-a-long-name.of.a.long.domain.example.com"),
    row(5, link="unreachable"),
]
SUMS = FleetSums(
    hosts=10_000,
    missing=1,
    need_attention=3,
    waiting=2_001,
    dead_letters=12,
    versions={"1.0.0": 9_990, "0.9.0": 10},
)
PAGE = HostPage(fleet=SUMS, matching=10_000, hosts=[*ILL, *map(row, range(6, 60))])
MANY = SeenHosts(page=PAGE, at=NOW)
LOST = MANY.failed("connection refused", NOW)
NONE = SeenHosts(page=HostPage(fleet=FleetSums(), matching=0, hosts=[]), at=NOW)
VIEW = View(sorts=SORTS, sort=SORTS[0])


@pytest.mark.parametrize(
    ("name", "seen", "size"),
    [
        ("hosts-80x24", MANY, USUAL),
        ("hosts-120x20", MANY, Size(120, 20)),
        ("hosts-lost-80x24", LOST, USUAL),
        ("hosts-none-80x24", NONE, USUAL),
    ],
)
def test_the_screen_of_hosts_is_as_kept(name: str, seen: SeenHosts, size: Size) -> None:
    text = "\n".join(drawn(hosts_screen(seen, VIEW, size, NOW), size)) + "\n"
    file = SCREENS / f"{name}.txt"
    if os.environ.get("PDAGENT_NEW_SCREENS"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [40, 80, 101])
@pytest.mark.parametrize("height", [10, 17, 18, 24, 60])
@pytest.mark.parametrize("seen", [MANY, LOST, NONE, SeenHosts()])
def test_every_size_is_filled_with_hosts_exactly(width: int, height: int, seen: SeenHosts) -> None:
    size = Size(width, height)
    for key in ("", "G", "?" if height >= 18 else "", "/"):
        view = VIEW.pressed(key, 5, seen.rows) if key else VIEW
        assert view is not None
        lines = drawn(hosts_screen(seen, view, size, NOW), size)
        assert len(lines) == height
        assert max(cell_len(line) for line in lines) <= width
