"""`make fleet` as a process, and what it concludes from its records."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from signal import SIGINT

import pytest
from rich.console import Console

from pdagent.demo.view import Chapter
from tests.agent_process import REPOSITORY
from tests.engine import needs_nats_server
from tests.fleet_demo.record import Noted, Record
from tests.fleet_demo.view import FleetFrame, HostCounts, Machine
from tests.system.full_run import FULL

STORY = [
    "Three machines start",
    "hosts send events",
    "the owner, is killed with SIGKILL",
    "took over after",
    "starts again and stands by",
    "which leads the log, is killed with SIGKILL",
    "The other two nodes go on",
    "starts again and catches up",
    "The load ends",
    "All has arrived",
]


def fleet(tmp_path: Path) -> subprocess.Popen[str]:
    needs_nats_server()
    return subprocess.Popen(
        [sys.executable, "-m", "tests.fleet_demo"],
        cwd=REPOSITORY,
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"], "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_an_interrupted_demonstration_ends_its_processes_and_removes_its_files(
    tmp_path: Path,
) -> None:
    process = fleet(tmp_path)
    assert process.stdout is not None
    assert any(STORY[1] in line for line in process.stdout), process.communicate()
    process.send_signal(SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.strip()) == (130, "error: interrupted")
    assert list(tmp_path.iterdir()) == []
    assert (
        str(tmp_path) not in subprocess.run(["ps", "axww"], capture_output=True, text=True).stdout
    )


@pytest.mark.skipif(not FULL, reason="PDAGENT_FULL=1 runs it: it takes a minute")
def test_the_demonstration_tells_its_story_and_keeps_the_promises(tmp_path: Path) -> None:
    out, err = fleet(tmp_path).communicate(timeout=240)
    assert err == "", out + err
    places = [out.find(sentence) for sentence in STORY]
    assert -1 not in places, out
    assert places == sorted(places)
    found = {
        name: float(count) for name, count in re.findall(r"(?m)^(\D+?) +([\d.]+)(?: s)?$", out)
    }
    assert found["accepted"] == found["delivered"] > 700
    assert (found["lost"], found["out of order"]) == (0, 0)
    # The one event per key that was in flight at the takeover, and at the election.
    assert found["repeated"] <= 8
    assert 1.0 < found["longest silence"] <= 15.0
    assert list(tmp_path.iterdir()) == []


def record(accepted: str, arrived: str) -> Record:
    """Events of one host and key, a letter each: the letter's place is its time in seconds."""
    found = Record()
    for text, noted in ((accepted, found.accepted), (arrived, found.arrived)):
        noted += (
            Noted(float(at), "key", (0, ord(letter)))
            for at, letter in enumerate(text)
            if letter != " "
        )
    return found


@pytest.mark.parametrize(
    ("accepted", "arrived", "lost", "out_of_order", "repeated", "silence"),
    [
        ("abc", " abc", 0, 0, 0, 1),
        ("abc", " ab", 1, 0, 0, 18),
        ("abc", " acb", 0, 1, 0, 1),
        ("abc", " abbc", 0, 0, 1, 1),
        ("ab", "a              b", 0, 0, 0, 14),
        ("ab", "a                b", 0, 0, 0, 16),
        ("a            b", "a             b", 0, 0, 0, 1),
        (" a", "a", 0, 0, 0, 0),
    ],
    ids=["all", "lost", "order", "repeated", "silent", "too-silent", "nothing-sent", "early"],
)
def test_the_verdict(
    accepted: str, arrived: str, lost: int, out_of_order: int, repeated: int, silence: float
) -> None:
    verdict = record(accepted, arrived).verdict(20.0)
    assert verdict.lines()[-4:] == [
        f"lost            {lost:>6}",
        f"out of order    {out_of_order:>6}",
        f"repeated        {repeated:>6}",
        f"longest silence {silence:>6.1f} s",
    ]
    assert verdict.promise_kept == (lost == out_of_order == 0 and silence <= 15)
    assert ("A promise was broken" in verdict.lines()[0]) != verdict.promise_kept


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
def test_the_picture_fits_the_terminal(width: int, height: int) -> None:
    frame = FleetFrame(
        at=75.0,
        chapters=tuple(Chapter(float(n), f"Chapter {n}") for n in range(1, 11)),
        machines=(
            Machine("owner", "leader"),
            Machine("standby", "running"),
            Machine("killed", "killed"),
        ),
        hosts=tuple(HostCounts(f"host-{n}", 250, 200, 1) for n in range(1, 9)),
        silence=11.25,
    )
    console = Console(width=width, height=height, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(frame.drawn(console))
    lines = captured.get().splitlines()
    assert len(lines) < height
    assert all(len(line) <= width and "…" not in line for line in lines)
    assert any("Chapter 10" in line for line in lines)
    assert lines[-1].split() == [
        "all",
        "2000",
        "1600",
        "392",
        "8",
        "longest",
        "silence",
        "11.2",
        "s",
    ]
