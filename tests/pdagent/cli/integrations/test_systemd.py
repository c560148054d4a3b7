"""`systemd`: what a template unit starts when another unit has ended."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from tests.pdagent.cli.agent_stand_in import SECRET, AgentStandIn
from tests.pdagent.cli.command_line import REPOSITORY, CommandLine

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"
JOURNALCTL = """#!/bin/sh
echo "$@" > "$0.asked"
echo no space left
"""


@pytest.fixture
def journal(user: CommandLine) -> Path:
    """A journalctl of a host with systemd; what it was asked is in the file beside it."""
    folder = user.home / "bin"
    folder.mkdir()
    program = folder / "journalctl"
    program.write_text(JOURNALCTL)
    program.chmod(0o755)
    user.env["PATH"] = f"{folder}:{user.environment()['PATH']}"
    return folder / "journalctl.asked"


def test_a_failed_unit_triggers_with_what_systemd_says(
    user: CommandLine, agent: AgentStandIn, journal: Path
) -> None:
    user.env |= {"MONITOR_SERVICE_RESULT": "exit-code", "MONITOR_EXIT_STATUS": "3"}
    user.env["MONITOR_INVOCATION_ID"] = "0a1b"
    assert user("systemd", "-q", "-k", KEY, "trigger", "backup.service").code == 0
    (received,) = agent.received
    event, host = received.body, socket.gethostname()
    assert (event["event_action"], event["dedup_key"]) == (
        "trigger",
        f"systemd/{host}/backup.service",
    )
    assert event["payload"]["summary"] == f"backup.service on {host} failed (exit-code 3)"
    assert event["payload"]["custom_details"] == {
        "result": "exit-code",
        "exit_status": "3",
        "journal": "no space left",
    }
    assert "_SYSTEMD_INVOCATION_ID=0a1b" in journal.read_text()
    assert "pd-occurred-at" in received.headers


def test_an_older_systemd_and_a_host_without_a_journal(
    user: CommandLine, agent: AgentStandIn, journal: Path
) -> None:
    assert user("systemd", "-k", KEY, "trigger", "backup.service").code == 0
    assert "--unit=backup.service" in journal.read_text()
    (journal.parent / "journalctl").write_text("#!/no/such/program\n")
    assert user("systemd", "-k", KEY, "trigger", "backup.service").code == 0
    assert "custom_details" not in agent.received[-1].body["payload"]


def test_a_success_resolves_the_same_alert(user: CommandLine, agent: AgentStandIn) -> None:
    for action in ("trigger", "resolve"):
        assert user("systemd", "-k", KEY, action, "backup.service").code == 0
    first, second = (received.body for received in agent.received)
    assert second["event_action"] == "resolve"
    assert first["dedup_key"] == second["dedup_key"]


@pytest.mark.parametrize("action", ["trigger", "resolve"])
def test_the_units_commands_are_ones_that_work(
    user: CommandLine, agent: AgentStandIn, action: str
) -> None:
    user.configure(address=agent.address, secret=SECRET, text=f"routing_keys:\n  systemd: {KEY}\n")
    name = {"trigger": "pagerduty-onfailure@.service", "resolve": "pagerduty-onsuccess@.service"}
    unit = (REPOSITORY / "pdagent" / "installation" / name[action]).read_text()
    line = re.search(r"^ExecStart=\S+ --config \S+ (.*)$", unit, re.MULTILINE)
    assert line is not None
    words = line[1].replace("%i", "backup.service").split()
    assert words[-2:] == [action, "backup.service"]
    done = user(*words)
    assert (done.code, done.err) == (0, "")
    assert agent.received[0].body["event_action"] == action
