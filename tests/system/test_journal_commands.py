"""The way from a start that is refused for damage back to a running agent, by what is printed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.actors.journals_on_disk import files_in
from tests.agent_process import AgentProcess
from tests.operator_shell import OperatorShell, command_in
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import key_number, numbers_by_key, trigger

KEY, OTHER = key_number(1), key_number(2)
MARK = b"the mark of number 1"


@pytest.fixture
def agent(tmp_path: Path, sandbox: SandboxProcess) -> Iterator[AgentProcess]:
    """An agent with four events that wait, because PagerDuty is down."""
    sandbox.behave(down=True)
    with AgentProcess(tmp_path / "agent", sandbox.url) as process:
        for number, key in enumerate((KEY, KEY, KEY, OTHER)):
            event = trigger(key, number)
            event["payload"]["custom_details"]["mark"] = f"the mark of number {number}"
            process.send_v2(event).raise_for_status()
        yield process


def test_a_running_agent_is_named_and_its_journal_left_alone(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    shell = OperatorShell(agent)
    new = agent.directory / "new"
    for command in ("verify", "dump", "compact", f"salvage {new}"):
        told = shell.refusal(f"pagerduty-agent journal {command}", 1)
        assert f"in use by process {agent.pid}" in told
        assert "later" not in told
    assert not new.exists()
    listed = shell.output(command_in(told, "queue list"))
    assert listed.count(" queued ") + listed.count(" deferred ") == 4
    sandbox.behave(down=False)
    agent.wait_until_drained()
    assert "Stopped" in shell.output(command_in(told, "server stop"))
    assert "is whole" in shell.output("pagerduty-agent journal verify")


def test_what_is_printed_leads_from_damage_back_to_a_running_agent(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    shell = OperatorShell(agent)
    agent.stop()
    data = agent.journal / "data.mdb"
    content = data.read_bytes()
    assert MARK in content
    data.write_bytes(content.replace(MARK, MARK.replace(b"mark", b"MARK")))
    damaged = files_in(agent.journal)["data.mdb"]

    refused = shell.refusal("pagerduty-agent server", 1)
    verified = shell.run(command_in(refused, "journal verify"))
    assert verified.returncode == 1
    assert "its checksum does not match" in verified.stdout
    salvaging = command_in(verified.stderr, "journal salvage")
    saved = shell.output(salvaging.replace("NEW_DIR", str(agent.directory / "salvaged")))
    assert "\nlost: event " in saved
    assert "1 event lost" in saved
    assert files_in(agent.journal)["data.mdb"] == damaged
    [moving] = [line.strip() for line in saved.splitlines() if line.startswith("    mv ")]
    shell.output(moving)
    sandbox.behave(down=False)
    agent.start()
    agent.wait_until_drained()
    assert numbers_by_key(sandbox.events()) == {KEY: [0, 2], OTHER: [3]}
    assert agent.stop() == 0
    kept = f"{agent.journal}.damaged"
    dumped = shell.run(f"pagerduty-agent journal dump {kept}")
    assert dumped.returncode == 1
    assert KEY not in dumped.stdout + dumped.stderr
