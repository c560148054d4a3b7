"""`queue edit`: what is corrected, what is refused, and that no event is lost; a real agent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent_process import AgentProcess
from tests.operator_shell import OperatorShell, command_in
from tests.pdagent.httpapi.sample_events import new_key, trigger
from tests.sandbox_process import SandboxProcess

KEY, UNNAMED = new_key(), new_key()
SED = "EDITOR=\"sed -i 's/%s/%s/'\" pagerduty-agent queue edit %s"


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    directory = tmp_path_factory.mktemp("edit") / "agent"
    with (
        SandboxProcess() as sandbox,
        AgentProcess(directory, sandbox.url, routing_keys={"database": KEY}) as process,
    ):
        for key in (KEY, UNNAMED):
            process.send_v2(trigger(key)).raise_for_status()
            process.wait_until_drained()
            assert process.cli("queue", "hold", "-k", key).returncode == 0
        yield process


def alert(**fields: object) -> dict[str, object]:
    """The payload of a trigger."""
    return {"source": "db1", "severity": "error", **fields}


def waiting(agent: AgentProcess) -> dict[str, dict[str, Any]]:
    """The events that wait, in their order."""
    rows = agent.get("/queue/events", params={"state": "waiting"}).json()["events"]
    return {row["id"]: row for row in rows}


@pytest.mark.parametrize("key", [KEY, UNNAMED], ids=["named", "unnamed"])
def test_an_edited_event_waits_at_the_tail_and_the_old_one_is_discarded(
    agent: AgentProcess, key: str
) -> None:
    shell = OperatorShell(agent)
    details = {"note": f"sent with {key}", "load": 1.10}
    payload = alert(summary="97% full", custom_details=details)
    event = trigger(key, dedup_key="disk", payload=payload)
    old, later = (agent.send_v2(e).json()["key"] for e in (event, trigger(key)))
    assert "Dedup Key: disk" in shell.output(SED % ("97", "98", old))
    rows = waiting(agent)
    [new] = [id_ for id_, row in rows.items() if row["summary"] == "98% full"]
    assert old not in rows
    assert list(rows).index(new) > list(rows).index(later)
    history = agent.get(f"/queue/events/{old}").json()["history"]
    assert history[-1]["reason"] == f"replaced by {new}"
    agent.cli("queue", "release", "-k", key)
    agent.wait_until_drained()
    agent.cli("queue", "hold", "-k", key)


def test_an_unchanged_file_changes_nothing(agent: AgentProcess, tmp_path: Path) -> None:
    shell = OperatorShell(agent)
    old = agent.send_v2(trigger(KEY)).json()["key"]
    before = waiting(agent)
    assert shell.output(SED % ("x", "x", old)) == "Nothing was changed.\n"
    shown = json.loads(shell.output(f"pagerduty-agent queue show {old} --json"))["event"]
    file = tmp_path / "event.json"
    file.write_text(json.dumps(shown))
    unchanged = f"pagerduty-agent queue edit {old} --from"
    assert shell.output(f"{unchanged} {file}") == "Nothing was changed.\n"
    assert waiting(agent) == before
    shown["payload"]["summary"] = "from a file"
    receipt = json.loads(shell.output(f"{unchanged} - --json", stdin=json.dumps(shown)))
    assert waiting(agent)[receipt["key"]]["summary"] == "from a file"
    assert old not in waiting(agent)
    again = f"pagerduty-agent queue edit {receipt['key']} --from - -q"
    shown["payload"]["summary"] = "once more"
    assert shell.output(again, stdin=json.dumps(shown)) == ""
    assert [row["summary"] for row in waiting(agent).values()][-1] == "once more"


@pytest.mark.parametrize("wrong", ["nonsense", "\\x22"])
def test_an_invalid_edit_keeps_the_file_and_the_event(agent: AgentProcess, wrong: str) -> None:
    shell = OperatorShell(agent)
    old = agent.send_v2(trigger(KEY)).json()["key"]
    before = waiting(agent)
    refusal = shell.refusal(SED % ("trigger", wrong, old), 2)
    assert waiting(agent) == before
    again = command_in(refusal, "--from")
    file = Path(again.split()[-1])
    assert file.stat().st_mode & 0o777 == 0o600
    assert KEY not in file.read_text()
    file.write_text(json.dumps(trigger(KEY, payload=alert(summary="corrected"))))
    assert "Event processed" in shell.output(again)
    assert old not in waiting(agent)
    file.unlink()


def test_only_events_that_have_not_ended_are_edited(agent: AgentProcess) -> None:
    shell = OperatorShell(agent)
    old = agent.send_v2(trigger(KEY)).json()["key"]
    shell.output(f"pagerduty-agent queue discard --yes {old}")
    assert "is discarded: only events" in shell.refusal(SED % ("a", "b", old), 1)
    other = agent.send_v2(trigger(KEY)).json()["key"]
    assert "add --from" in shell.refusal(f"pagerduty-agent queue edit {other}", 2)
