"""A burst of notifications: a monitoring tool starts one `send` for each, all at once."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.agent_process import AgentProcess
from tests.system.full_run import FULL
from tests.system.numbered_events import key_number

SENDS = 200
MOST_SECONDS = 15.0


@pytest.mark.skipif(not FULL, reason="PDAGENT_FULL=1 runs it: it takes a machine of its own")
def test_two_hundred_sends_at_once_are_all_stored_in_time(tmp_path: Path) -> None:
    with AgentProcess(tmp_path / "agent", "http://127.0.0.1:9") as agent:
        assert agent.cli("send", "-k", key_number(0), "-t", "trigger", "-d", "x").returncode == 0
        began = time.monotonic()
        commands = [
            agent.command("send", "-k", key_number(n % 20), "-t", "trigger", "-d", f"alert {n}")
            for n in range(SENDS)
        ]
        running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
        assert [process.wait() for process in running] == [0] * SENDS
        assert time.monotonic() - began < MOST_SECONDS
        assert agent.status()["totals"]["accepted"] == SENDS + 1
