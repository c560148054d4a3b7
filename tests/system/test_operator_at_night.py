"""Somebody is paged at night: all that they need, they find in what the commands print."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent_process import AgentProcess
from tests.operator_shell import OperatorShell, command_in
from tests.sandbox_process import SandboxProcess

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"
REFUSAL = "The sandbox was told to refuse this"  # what PagerDuty gives as its errors

ALERT: dict[str, Any] = {
    "routing_key": KEY,
    "event_action": "trigger",
    "payload": {
        "summary": "disk usage on /var is 97%",
        "source": "web-17.example.com",
        "severity": "critical",
        "component": "nginx",
        "class": "disk",
        "custom_details": {"free": "1.2 GB", "it's": "a 'quoted' $value"},
    },
    "links": [{"href": "https://wiki.example.com/disk?a=b", "text": "Runbook"}],
    "images": [{"src": "https://example.com/graph.png", "alt": "Graph"}],
    "client": "Monitoring",
}
NUMBERS: dict[str, Any] = {
    "routing_key": KEY,
    "event_action": "trigger",
    "dedup_key": "db1/load",
    "payload": {
        "summary": "Load is 40",
        "source": "db1",
        "severity": "error",
        "custom_details": {"load": [40.10, 39], "host": {"name": "db1"}},
    },
}
OLD_ALERT: dict[str, Any] = {
    "service_key": KEY,
    "event_type": "trigger",
    "description": "Load is 41",
    "details": {"host": "db1"},
    "client": "Nagios",
    "client_url": "https://nagios.example.com",
}
CHANGE: dict[str, Any] = {
    "routing_key": KEY,
    "payload": {"summary": "Deployed 4.2", "source": "ci", "custom_details": {"commit": "3f2a"}},
    "links": [{"href": "https://ci.example.com/42"}],
}
# What a terminal must not be given as it is: line ends, escape sequences, joined emoji.
LINES: dict[str, Any] = {
    "routing_key": KEY,
    "event_action": "trigger",
    "dedup_key": "db1\x1b[2J\tload\n100% it's \\n",
    "payload": {
        "summary": "Load\n\nis 42 \N{NO-BREAK SPACE}% \U0001f469\u200d\U0001f4bb",
        "source": "db1",
        "severity": "error",
        "custom_details": {"output": "one\ntwo\n", "who": "\U0001f469\u200d\U0001f4bb \U000e0041"},
    },
}
OLD_LINES: dict[str, Any] = {
    "service_key": KEY,
    "event_type": "trigger",
    "description": "Load is\r\n43",
    "details": {"output": "one\n  two '%s' \\"},
}


@pytest.fixture
def agent(tmp_path: Path, sandbox: SandboxProcess) -> Iterator[AgentProcess]:
    names = {"database": KEY}
    with AgentProcess(tmp_path / "agent", sandbox.url, routing_keys=names) as process:
        yield process


@pytest.fixture
def shell(agent: AgentProcess) -> OperatorShell:
    return OperatorShell(agent)


def refused(agent: AgentProcess, sandbox: SandboxProcess, *events: dict[str, Any]) -> None:
    """Have events become dead letters; PagerDuty takes others again afterwards."""
    sandbox.behave(fail=400)
    for event in events:
        if "service_key" in event:
            agent.send_v1(event).raise_for_status()
        elif "event_action" in event:
            agent.send_v2(event).raise_for_status()
        else:
            agent.post("/v2/change/enqueue", json=event).raise_for_status()
    agent.wait_for(lambda: agent.totals()["dead_lettered"] == len(events), "they are dead letters")
    # A list is ahead of the journal, which tells of lives, by the commit that is under way.
    for row in agent.get("/queue/events").json()["events"]:
        told = f"/queue/events/{row['id']}"
        agent.wait_for(lambda: "EventDeadLettered" in agent.get(told).text, "it is on disk")  # noqa: B023
    sandbox.behave(fail=None)


def test_the_log_names_the_command_that_shows_the_event_and_that_the_one_that_retries_it(
    agent: AgentProcess, sandbox: SandboxProcess, shell: OperatorShell
) -> None:
    refused(agent, sandbox, ALERT)
    agent.wait_for(lambda: "queue show" in agent.log(), "the log tells of the dead letter")
    shown = shell.output(command_in(agent.log(), "queue show"))
    assert "is a dead letter" in shown
    assert f"http_400: Event object is invalid: {REFUSAL}" in shown
    assert KEY not in shown
    assert shell.output(command_in(shown, "queue retry")) == "Retrying 1 event.\n"
    showing = command_in(agent.log(), "queue show")
    agent.wait_for(lambda: "was delivered" in shell.output(showing), "the retry is told of")
    told = shell.output(showing)
    words = [line.split()[1] for line in told.partition("\nHistory\n")[2].splitlines() if line]
    assert words == ["accepted", "dead", "retried", "delivered"]


def test_the_list_leads_to_the_event_and_that_to_its_correction_and_its_discard(
    agent: AgentProcess, sandbox: SandboxProcess, shell: OperatorShell
) -> None:
    refused(agent, sandbox, ALERT)
    listed = shell.on_terminal("pagerduty-agent queue list")
    assert REFUSAL in listed
    short_id = next(line.split()[0] for line in listed.splitlines() if "dead_lettered" in line)
    shown = shell.output(f"pagerduty-agent queue show {short_id}")
    editing = command_in(shown, "queue edit")
    assert "Event processed" in shell.output(
        f"EDITOR=\"sed -i 's/97%/98% (corrected)/'\" {editing}"
    )
    [_, second] = sandbox.wait_for_events(1) and sandbox.events()
    assert second["body"]["payload"]["summary"] == "disk usage on /var is 98% (corrected)"

    assert agent.totals()["dead_lettered"] == 0

    refused(agent, sandbox, ALERT)
    short_id = json.loads(agent.cli("queue", "list", "--json").stdout)["id"]
    shown = shell.output(f"pagerduty-agent queue show {short_id}")
    giving_up = command_in(shown, "queue discard")
    asked = shell.refusal(giving_up, 2)
    assert "--yes" in asked, "nobody can be asked in a script"
    assert "nothing was discarded" in shell.on_terminal(giving_up, "n\n", code=1)
    assert agent.totals()["dead_lettered"] == 1
    assert "Discarded 1 event." in shell.on_terminal(giving_up, "y\n")
    assert agent.totals()["dead_lettered"] == 0
    assert "was discarded" in shell.output(f"pagerduty-agent queue show {short_id}")
    assert "No events wait" in shell.output("pagerduty-agent queue list")


def without_what_the_agent_adds(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "agent"}


def corrected(body: dict[str, Any]) -> dict[str, Any]:
    payload = body.get("payload", body)
    payload["summary" if "summary" in payload else "description"] += " (corrected)"
    return body


def test_an_edited_event_is_otherwise_the_same(
    agent: AgentProcess, sandbox: SandboxProcess, shell: OperatorShell
) -> None:
    events = (ALERT, NUMBERS, OLD_ALERT, CHANGE, LINES, OLD_LINES)
    refused(agent, sandbox, *events)
    before = sandbox.events()
    for line in shell.output("pagerduty-agent queue list --json").splitlines():
        id_ = json.loads(line)["id"]
        shown = json.loads(shell.output(f"pagerduty-agent queue show {id_} --json"))
        text = json.dumps(corrected(shown["event"]))
        shell.output(f"pagerduty-agent queue edit {id_} --from -", stdin=text)
    again = sandbox.wait_for_events(len(events))
    assert agent.totals()["dead_lettered"] == 0
    for event, first, second in zip(events, before, again, strict=True):
        assert first["kind"] == second["kind"]
        assert without_what_the_agent_adds(corrected(first["body"])) == (
            without_what_the_agent_adds(second["body"])
        ), event
