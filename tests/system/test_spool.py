"""Events sent by command while the agent is down, where a spool is configured."""

from __future__ import annotations

import json
from pathlib import Path

from tests.agent_process import AgentProcess
from tests.sandbox_process import SandboxProcess

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"


def test_spooled_events_are_delivered_in_order_once_the_agent_runs(tmp_path: Path) -> None:
    with (
        SandboxProcess() as sandbox,
        AgentProcess(tmp_path / "agent", sandbox.url, spool=tmp_path / "spool") as agent,
    ):
        agent.kill()
        receipts = [
            agent.cli("send", "-k", KEY, "-t", "trigger", "-d", f"event {n}", "--json")
            for n in range(5)
        ]
        assert [receipt.returncode for receipt in receipts] == [0] * 5
        assert len(list((tmp_path / "spool").glob("*.event"))) == 5
        refused = agent.cli("send", "-k", "short", "-t", "trigger", "-d", "bad")
        assert refused.returncode == 2
        agent.start()
        events = sandbox.wait_for_events(5)
        assert [event["body"]["description"] for event in events] == [
            f"event {n}" for n in range(5)
        ]
        promised = [json.loads(receipt.stdout)["incident_key"] for receipt in receipts]
        assert [event["body"]["incident_key"] for event in events] == promised
        assert list((tmp_path / "spool").iterdir()) == []


def test_without_a_spool_nothing_is_stored(tmp_path: Path) -> None:
    with SandboxProcess() as sandbox, AgentProcess(tmp_path / "agent", sandbox.url) as agent:
        agent.kill()
        answer = agent.cli("send", "-k", KEY, "-t", "trigger", "-d", "lost?")
        assert answer.returncode == 69
        assert "server" in answer.stderr and len(answer.stderr.splitlines()) == 1


def test_a_file_that_is_no_event_is_kept_out_of_the_way(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    (spool / "00000000000000000001-1.event").write_text("half a fi")
    with (
        SandboxProcess() as sandbox,
        AgentProcess(tmp_path / "agent", sandbox.url, spool=spool) as agent,
    ):
        assert agent.cli("send", "-k", KEY, "-t", "trigger", "-d", "works").returncode == 0
        sandbox.wait_for_events(1)
        assert [path.suffix for path in spool.iterdir()] == [".refused"]
