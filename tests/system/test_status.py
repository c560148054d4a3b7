"""What `GET /status` and `status` tell of a real agent: rows that were asked for, and health."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent_process import AgentProcess
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import key_number, trigger

KEYS = {"database": key_number(1), "payments": key_number(2), "dns": key_number(3)}
UNNAMED = "k3y" * 10 + "z9"
TOTALS = ["accepted", "delivered", "waiting", "dead_lettered", "discarded"]


@pytest.fixture
def agent(tmp_path: Path, sandbox: SandboxProcess) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path / "agent", sandbox.url, routing_keys=KEYS) as process:
        yield process


@pytest.fixture
def busy(agent: AgentProcess, sandbox: SandboxProcess) -> AgentProcess:
    """Of four keys one has a dead letter, one is held, and PagerDuty can't be reached."""
    sandbox.behave(fail=400)
    agent.send_v2(trigger(KEYS["payments"])).raise_for_status()
    agent.wait_for(lambda: agent.totals()["dead_lettered"] == 1, "a dead letter")
    sandbox.behave(fail=None, down=True)
    for key, count in ((KEYS["database"], 1), (KEYS["dns"], 3), (UNNAMED, 2)):
        for number in range(count):
            agent.send_v2(trigger(key, number)).raise_for_status()
    held = agent.post("/queue/hold", params={"queue": "dns", "reason": "maintenance"})
    held.raise_for_status()
    agent.wait_for(lambda: agent.status()["pagerduty"]["state"] == "unreachable", "the outage")
    return agent


def names(answer: dict[str, Any]) -> list[str]:
    return [queue["queue"] for queue in answer["queues"]]


def test_rows_can_be_sorted_chosen_and_limited(busy: AgentProcess) -> None:
    assert names(busy.status(sort="waiting")) == ["dns", "k3yk…3yz9", "database", "payments"]
    assert names(busy.status(sort="oldest")) == ["database", "dns", "k3yk…3yz9", "payments"]
    assert names(busy.status(sort="dead"))[0] == "payments"
    assert names(busy.status(sort="name")) == ["database", "dns", "k3yk…3yz9", "payments"]
    assert names(busy.status(sort="name", limit="2", offset="1")) == ["dns", "k3yk…3yz9"]
    assert names(busy.status(sort="name", offset="9")) == []
    assert names(busy.status(match="DA")) == ["database"]
    assert names(busy.status(match="held")) == ["dns"]
    assert names(busy.status(match="dead lettered")) == ["payments"]
    assert len(names(busy.status())) == 4
    for query in ({"sort": "size"}, {"limit": "-1"}, {"limit": "x"}, {"offset": "9" * 5_000}):
        answer = busy.get("/status", params=query)
        assert answer.status_code == 400
        assert next(iter(query)) in answer.json()["errors"][0]


def test_counts_are_about_all_queues_however_few_rows_are_asked_for(busy: AgentProcess) -> None:
    answer = busy.status(limit="1", match="d")
    queues = answer["agent"]["queues"]
    assert len(answer["queues"]) == 1
    assert (queues["known"], queues["matching"]) == (4, 3)  # one has a dead letter
    assert (queues["held"], queues["with_waiting"], queues["with_dead_letters"]) == (1, 3, 1)
    assert queues["oldest_waiting_queue"] == "database"
    assert (
        queues["oldest_waiting_at"]
        == busy.status(match="database")["queues"][0]["oldest_waiting_at"]
    )
    assert answer["totals"] == dict(zip(TOTALS, (7, 0, 6, 1, 0), strict=True))


def test_status_as_json_has_exactly_the_four_parts(busy: AgentProcess) -> None:
    done = busy.cli("status", "--json")
    answer = json.loads(done.stdout)
    assert list(answer) == ["agent", "pagerduty", "totals", "queues"]
    assert list(answer["totals"]) == TOTALS
    assert answer["agent"]["trouble"] == []
    assert answer["pagerduty"]["state"] == "unreachable"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", answer["pagerduty"]["since"])
    dns = next(queue for queue in answer["queues"] if queue["queue"] == "dns")
    assert (dns["state"], dns["held"], dns["hold_reason"]) == ("held", True, "maintenance")
    limited = json.loads(busy.cli("status", "--json", "--limit", "1", "--sort", "name").stdout)
    assert names(limited) == ["database"]


def test_plain_text_has_a_row_for_each_key_and_says_what_to_do(busy: AgentProcess) -> None:
    done = busy.cli("status")
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert "6 events are kept; delivery resumes when PagerDuty is back." in lines
    listing = f"pagerduty-agent --config {busy.config} queue list --state dead_lettered"
    assert f"1 dead letter of payments: {listing} -k payments" in lines
    release = f"pagerduty-agent --config {busy.config} queue release -k dns"
    assert f"dns held by an operator: {release}" in lines
    table = lines[next(n for n, line in enumerate(lines) if line.startswith("KEY")) :]
    assert [line.split()[0] for line in table[1:]] == ["dns", "k3yk…3yz9", "database", "payments"]
    assert "waits for PagerDuty" in table[2]
    assert table[4].split()[1:5] == ["0", "-", "0", "1"]
    few = busy.cli("status", "--limit", "1").stdout
    assert "and 3 more keys: --limit 0 shows all" in few
    assert "payments" not in few.partition("\nKEY")[2]
    held = busy.cli("status", "--filter", "held").stdout.splitlines()[-1]
    assert "held (maintenance)" in held


def test_the_way_to_pagerduty_is_known_with_its_times(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    assert agent.status()["pagerduty"]["state"] == "unknown"
    agent.send_v2(trigger(KEYS["dns"])).raise_for_status()
    agent.wait_until_drained()
    before = agent.status()["pagerduty"]
    assert (before["state"], before["last_outage_seconds"]) == ("reachable", None)
    sandbox.behave(down=True)
    agent.send_v2(trigger(KEYS["dns"], 1)).raise_for_status()
    agent.wait_for(lambda: agent.status()["pagerduty"]["state"] == "unreachable", "the outage")
    during = agent.status()["pagerduty"]
    assert during["since"] > before["since"]
    sandbox.behave(down=False)
    agent.wait_until_drained()
    after = agent.status()["pagerduty"]
    assert after["state"] == "reachable"
    assert after["since"] > during["since"]
    assert after["last_outage_seconds"] > 0


def test_health_tells_ready_live_and_gone_apart(agent: AgentProcess) -> None:
    for path in ("/health", "/health/ready", "/health/live"):
        answer = agent.get(path, headers={"Authorization": None})
        assert (answer.status_code, answer.text) == (200, "OK"), path
    assert agent.cli("health").stdout == agent.cli("health", "--live").stdout == "OK\n"
    agent.kill()
    for command in (["health"], ["health", "--live"]):
        done = agent.cli(*command)
        assert done.returncode == 69
        assert "no agent answers" in done.stderr


def test_an_agent_with_a_full_journal_is_live_but_not_ready(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    sandbox.behave(down=True)
    with AgentProcess(tmp_path / "small", sandbox.url, max_journal_mb=1) as agent:
        events = [trigger(key) for key in KEYS.values()]  # one key may fill half of it only
        for event in events:
            event["payload"]["custom_details"]["fill"] = "x" * 200_000
        agent.wait_for(
            lambda: 503 in [agent.send_v2(event).status_code for event in events],
            "the journal is full",
        )
        agent.wait_for(lambda: not agent.is_healthy(), "it isn't ready")
        ready, live = agent.cli("health"), agent.cli("health", "--live")
        assert (live.returncode, live.stdout) == (0, "OK\n")
        assert ready.returncode == 1
        assert "is not ready: " in ready.stderr
        assert "max_journal_mb" in ready.stderr
        assert len(ready.stderr.splitlines()) == 1
        assert "Not ready: " in agent.cli("status").stdout
        assert "pdagent_ready 0.0" in agent.get("/metrics").text
