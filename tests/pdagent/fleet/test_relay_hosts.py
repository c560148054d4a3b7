"""A relay's hosts from outside: a real agent with `accept_secrets`, reports as hosts send them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.agent_process import AgentProcess

NOWHERE = "http://127.0.0.1:9"
OLD, NEW = "the-relays-secret-of-before-0123", "the-relays-secret-of-today-01234"


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    directory = tmp_path_factory.mktemp("fleet") / "relay"
    with AgentProcess(directory, NOWHERE, accept_secrets=f"[{OLD}, {NEW}]") as process:
        yield process


def report(
    relay: AgentProcess, agent_id: str, secret: str = NEW, path: str = "/relay/hosts", **fields: Any
) -> requests.Response:
    body = {"agent_id": agent_id, "host": f"{agent_id}.example.com", "version": "1.2.3", **fields}
    return relay.post(path, json=body, headers={"Authorization": f"token {secret}"})


def listed(relay: AgentProcess, **query: str) -> dict[str, Any]:
    answer = relay.get("/relay/hosts", params=query)
    answer.raise_for_status()
    page: dict[str, Any] = answer.json()
    return page


def test_hosts_are_listed_by_need_in_pages_and_by_command(relay: AgentProcess) -> None:
    quiet = {"waiting": 1, "oldest_waiting_seconds": 2.5, "link": "reachable"}
    for number in range(25):
        assert report(relay, f"quiet-{number:02d}", **quiet).json() == {"message": "noted"}
    # With a query, falcon takes the report: the answer is the same.
    again = report(relay, "quiet-03", path="/relay/hosts?x=1", dead_letters=2, **quiet)
    assert (again.status_code, again.json()) == (200, {"message": "noted"})
    report(relay, "ill", OLD, trouble="the journal is full", field_of_a_newer_version=[1])

    page = listed(relay)
    assert page["fleet"] == {
        "hosts": 26,
        "missing": 0,
        "need_attention": 2,
        "waiting": 25,
        "dead_letters": 2,
        "versions": {"1.2.3": 26},
    }
    names = [row["agent_id"] for row in page["hosts"]]
    others = [f"quiet-{number:02d}" for number in range(25) if number != 3]
    assert names == ["ill", "quiet-03", *others]
    assert page["hosts"][0] | {"last_report_at": ""} == {
        "agent_id": "ill",
        "host": "ill.example.com",
        "version": "1.2.3",
        "relay": "",
        "missing": False,
        "needs_attention": True,
        "trouble": "the journal is full",
        "waiting": 0,
        "oldest_waiting_at": None,
        "dead_letters": 0,
        "held_queues": 0,
        "link": "unknown",
        "last_report_at": "",
    }
    assert [row["agent_id"] for row in listed(relay, limit="2", offset="3")["hosts"]] == others[1:3]
    assert listed(relay, attention="1")["matching"] == 2
    assert listed(relay, match="QUIET-1")["matching"] == 10
    assert listed(relay, missing="1")["hosts"] == []

    lines = [json.loads(line) for line in relay.cli("hosts", "--json").stdout.splitlines()]
    assert [line["agent_id"] for line in lines] == names
    table = relay.cli("hosts", "--limit", "2").stdout.splitlines()
    assert [line.split()[0] for line in table] == [
        "HOST",
        "ill.example.com",
        "quiet-03.example.com",
    ]
    assert "not ready: the journal is full" in table[1]
    summary = relay.cli("status", "--fleet").stdout
    assert "26 known, 26 report, 0 missing" in summary and "quiet-04" not in summary
    assert json.loads(relay.cli("status", "--fleet", "--json").stdout)["matching"] == 2
    metrics = relay.get("/metrics").text
    assert "pdagent_fleet_hosts 26.0" in metrics and "pdagent_fleet_waiting_events 25.0" in metrics


def test_only_hosts_with_one_of_the_secrets_are_noted(relay: AgentProcess) -> None:
    before = listed(relay)["fleet"]["hosts"]
    # The operators' secret is not the hosts', nor the other way round.
    for secret in ("", "wrong", relay.secret):
        assert report(relay, "stranger", secret).status_code == 401
    for_operators = {"Authorization": f"token {NEW}"}
    assert relay.get("/relay/hosts", headers=for_operators).status_code == 401
    assert relay.post("/relay/hosts/forget", headers=for_operators).status_code == 401
    for body in (b"", b"[]", b'{"agent_id": "x"}', b'{"agent_id":"x","host":"h","waiting":-1}'):
        headers = {"Authorization": f"token {NEW}"}
        answer = relay.post("/relay/hosts", data=body, headers=headers)
        assert answer.status_code == 400
        assert "this is no report of a host" in answer.json()["errors"][0]
    assert "at most 1,024 bytes" in report(relay, "x", trouble="x" * 1_024).json()["errors"][0]
    assert listed(relay)["fleet"]["hosts"] == before


def test_a_host_that_reports_is_not_forgotten(relay: AgentProcess) -> None:
    report(relay, "alive")
    done = relay.cli("hosts", "forget", "alive.example.com")
    assert done.returncode == 1
    assert "no missing host is called alive.example.com" in done.stderr
    assert listed(relay, match="alive")["matching"] == 1
    assert relay.cli("hosts", "forget").returncode == 2


def test_an_agent_that_is_no_relay_says_where_to_ask_and_loads_nothing_for_it(
    tmp_path: Path,
) -> None:
    agent = AgentProcess(tmp_path / "agent", NOWHERE)
    agent.env = {"PYTHONPROFILEIMPORTTIME": "1"}
    with agent:
        agent.env = {}  # that of commands
        for command in (("hosts",), ("status", "--fleet"), ("hosts", "forget", "--missing")):
            done = agent.cli(*command)
            assert done.returncode == 1
            assert done.stderr.startswith("error: this agent is no relay")
        assert report(agent, "a", agent.secret).status_code == 409
        assert "pdagent.httpapi.operators.hosts" in agent.log()
        for package in ("pdagent.fleet", "pdagent.forwarding", "pdagent.relay", "nats"):
            assert not re.search(rf"\| +{re.escape(package)}\b", agent.log()), package
