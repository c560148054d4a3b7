"""Draws the pictures of the dashboard in this folder, from a real agent in a real outage.

    python docs/images/draw.py [MINUTES]

An agent delivers to a sandbox for MINUTES (default 6); some keys get into trouble on the way, and
at the end PagerDuty can't be reached. What `status --watch` shows becomes status.svg before, and
outage.svg in the middle of the outage. Takes MINUTES and one more.
"""

from __future__ import annotations

import contextlib
import html
import io
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import requests
from rich.console import Console
from rich.terminal_theme import TerminalTheme

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parents[1]))

from pdagent.dashboard.live.lines import Size  # noqa: E402
from pdagent.dashboard.live.screen import page_of, screen  # noqa: E402
from pdagent.dashboard.live.seen import Seen  # noqa: E402
from pdagent.dashboard.live.view import View  # noqa: E402
from pdagent.dashboard.report import status_report  # noqa: E402
from tests.agent_process import AgentProcess  # noqa: E402
from tests.sandbox_process import SandboxProcess  # noqa: E402

SIZE = Size(104, 30)
OUTAGE_SECONDS = 50.0
NAMES = ("database", "payments", "checkout", "search", "kafka", "storage", "backup", "dns")
BUSY = ("payments", "checkout", "database", "kafka")
_TEXT = re.compile(
    r'<text(?P<style>[^>]*? )x="(?P<x>[\d.]+)"(?P<y> y="[\d.]+" )textLength="(?P<length>[\d.]+)"'
    r"(?P<clip>[^>]*)>(?P<text>[^<]*)</text>"
)
_THEME = TerminalTheme(
    (24, 26, 31),
    (204, 208, 214),
    [
        (24, 26, 31),
        (224, 82, 92),
        (126, 188, 106),
        (222, 184, 92),
        (98, 154, 222),
        (190, 126, 206),
        (86, 182, 194),
        (204, 208, 214),
    ],
)


class Pager:
    """Sends events of the keys by their names, one after the other."""

    def __init__(self, agent: AgentProcess, keys: dict[str, str]) -> None:
        self._agent = agent
        self._keys = keys
        self._chance = random.Random(7)

    def send(self, name: str) -> None:
        """One event."""
        payload = {"summary": "load is high", "source": f"{name}-1", "severity": "warning"}
        event = {"routing_key": self._keys[name], "event_action": "trigger", "payload": payload}
        self._agent.send_v2(event).raise_for_status()

    def send_until(self, end: float, look: Callable[[], None]) -> None:
        """Events of busy keys, now more and now fewer, until `end` (monotonic)."""
        looked = 0.0
        while (now := time.monotonic()) < end:
            if now - looked >= 1.0:
                look()
                looked = now
            quiet = self._chance.random() < 0.1
            self.send(self._chance.choice(NAMES[4:] if quiet else BUSY))
            wave = 1.0 + 0.8 * ((now / 97.0) % 1.0)
            time.sleep(self._chance.expovariate(9.0 * wave))


def drawn(seen: Seen, selected: int) -> str:
    """The screen as SVG."""
    # The console is told its size; otherwise a dumb terminal would be taken for 80x25.
    console = Console(
        record=True,
        file=io.StringIO(),
        width=SIZE.width,
        height=SIZE.height,
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
        _environ={},
    )
    view = View(selected=selected).within(page_of(SIZE), seen.rows)
    assert seen.at is not None
    console.print(screen(seen, view, SIZE, seen.at))
    svg = console.export_svg(title="pagerduty-agent status --watch", theme=_THEME)
    # Fonts from the network are blocked where pictures are shown; any monospaced one will do.
    svg = re.sub(r"@font-face \{.*?\}\n?", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code, monospace", "DejaVu Sans Mono, Menlo, Consolas, monospace")
    svg = re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)
    return _TEXT.sub(_without_spaces_around, svg)


def _without_spaces_around(found: re.Match[str]) -> str:
    """A text placed where its first letter is: not every viewer keeps the spaces before it."""
    text = html.unescape(found["text"])
    bare = text.strip("\xa0")
    if not bare:
        return ""
    each = float(found["length"]) / len(text)
    x = float(found["x"]) + each * (len(text) - len(text.lstrip("\xa0")))
    shown = html.escape(bare, quote=False).replace("\xa0", "&#160;")
    return (
        f'<text{found["style"]}x="{x:.1f}"{found["y"]}textLength="{each * len(bare):.1f}"'
        f"{found['clip']}>{shown}</text>"
    )


def main(minutes: float) -> None:
    """Run, and write the two files."""
    keys = {name: f"{place:02d}{'k3yk3y' * 5}" for place, name in enumerate(NAMES)}
    seen = Seen()

    def look() -> None:
        nonlocal seen
        with contextlib.suppress(requests.RequestException):
            report = status_report(agent.status(sort="waiting"))
            seen = seen.answered(report, 0, datetime.now(UTC))

    with (
        tempfile.TemporaryDirectory() as directory,
        SandboxProcess("--latency", "0.02..0.2", "--rate-limit", "400") as sandbox,
        AgentProcess(Path(directory), sandbox.url, routing_keys=keys) as agent,
    ):
        pager = Pager(agent, keys)
        began = time.monotonic()
        pager.send_until(began + 60 * minutes - 45, look)
        sandbox.behave(fail=400)
        for _ in range(2):
            pager.send("storage")
        time.sleep(0.5)
        sandbox.behave(fail=None, rate_limit=20)
        for _ in range(40):
            pager.send("dns")
        time.sleep(3)
        sandbox.behave(rate_limit=400)
        reason = "failover test until 22:00"
        agent.post("/queue/hold", params={"queue": "backup", "reason": reason}).raise_for_status()
        for _ in range(4):
            pager.send("backup")
        pager.send_until(began + 60 * minutes, look)
        look()
        (FOLDER / "status.svg").write_text(drawn(seen, 0), encoding="utf-8")
        sandbox.behave(down=True)
        pager.send_until(time.monotonic() + OUTAGE_SECONDS, look)
        look()
        (FOLDER / "outage.svg").write_text(drawn(seen, 1), encoding="utf-8")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 6.0)
