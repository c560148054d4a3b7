"""`pagerduty-agent demo` as a process: it tells its story, counts, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import sys
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, Signals

import pytest

from tests.agent_process import REPOSITORY

STORY = [
    "a pagerduty-agent starts",
    "send events over HTTP",
    "PagerDuty goes down",
    "killed with SIGKILL",
    "The agent starts again",
    "PagerDuty is back",
    "All queues are empty",
]


def demo(tmp_path: Path, *options: str) -> subprocess.Popen[str]:
    """The demo in an environment that would lead a careless one to somebody's real agent."""
    environment = {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "TMPDIR": str(tmp_path),
        "PAGERDUTY_AGENT_ADDRESS": "127.0.0.1:9",
        "PAGERDUTY_AGENT_EVENTS_URL": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "pdagent", "demo", *options],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def agents_pid(process: subprocess.Popen[str], tmp_path: Path) -> int:
    """The pid of the demo's agent, once the demo says that events are sent."""
    assert process.stdout is not None
    for line in process.stdout:
        if STORY[1] in line:
            [pidfile] = tmp_path.glob("*/pidfile")
            return int(pidfile.read_text())
    raise AssertionError(process.communicate())


def wait_until_gone(pid: int) -> None:
    """Wait until this process has ended; AssertionError after 20 s."""
    with contextlib.suppress(ProcessLookupError):
        # Unlike a pid, a descriptor of a process can't become that of another one.
        descriptor = os.pidfd_open(pid)
        try:
            assert select.select([descriptor], [], [], 20)[0], f"process {pid} is still there"
        finally:
            os.close(descriptor)


def test_the_demo_tells_its_story_and_loses_nothing(tmp_path: Path) -> None:
    process = demo(tmp_path, "--speed", "4")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, ""), out + err
    places = [out.find(sentence) for sentence in STORY]
    assert -1 not in places, out
    assert places == sorted(places)
    waiting = re.search(r"its journal holds (\d+) events that wait", out)
    assert waiting is not None
    assert int(waiting[1]) > 100

    lines = [line.rsplit(maxsplit=1) for line in out.splitlines()[-5:]]
    assert [name for name, _ in lines] == [
        "accepted",
        "delivered",
        "lost",
        "out of order",
        "duplicates",
    ]
    counts = {name: int(count) for name, count in lines}
    assert counts["accepted"] == counts["delivered"] > 300
    assert (counts["lost"], counts["out of order"]) == (0, 0)
    # Only answers that were under way when PagerDuty went down can be lost: one for each queue.
    assert counts["duplicates"] <= 6
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
def test_an_interrupted_demo_ends_its_processes_and_removes_its_files(
    number: Signals, tmp_path: Path
) -> None:
    process = demo(tmp_path)
    pid = agents_pid(process, tmp_path)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err.strip()) == (130, "error: interrupted")
    wait_until_gone(pid)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_demo_leaves_no_process_behind(tmp_path: Path) -> None:
    process = demo(tmp_path)
    pid = agents_pid(process, tmp_path)
    process.send_signal(SIGKILL)
    process.communicate(timeout=30)
    wait_until_gone(pid)
