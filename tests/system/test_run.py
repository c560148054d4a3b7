"""Jobs under `run`, as an operator sees them at PagerDuty."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.agent_process import AgentProcess
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import key_number

keys = map(key_number, count(11_000))


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def agent(sandbox: SandboxProcess, tmp_path: Path, spool: Path) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path / "agent", sandbox.url, spool=spool) as process:
        yield process


def run(agent: AgentProcess, key: str, *words: str, code: int = 0) -> str:
    """Run a job named `backup` under `run`; what it wrote to standard error."""
    done = subprocess.run(
        agent.command("run", "-k", key, "--name", "backup", *words),
        env=agent.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stderr


def events(sandbox: SandboxProcess, key: str) -> list[dict[str, Any]]:
    return sandbox.events(rk=key)


def alert(sandbox: SandboxProcess, key: str) -> str | None:
    """The state of the only alert of this key."""
    found = sandbox.alerts(rk=key)
    assert len(found) <= 1
    return found[0]["status"] if found else None


def job(agent: AgentProcess, key: str) -> dict[str, Any]:
    """What the agent knows of the key's only job."""
    (row,) = agent.status(rk=key)["queues"]
    (found,) = row["jobs"]
    assert isinstance(found, dict)
    return found


def test_a_failure_triggers_and_the_next_success_alone_resolves(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    key = next(keys)
    run(agent, key, "false", code=1)
    run(agent, key, "true")
    for _ in range(2):
        run(agent, key, "true")
    run(agent, key, "false", code=1)
    sandbox.wait_for_events(3, rk=key)
    actions = [each["action"] for each in events(sandbox, key)]
    assert actions == ["trigger", "resolve", "trigger"]
    assert agent.totals()["discarded"] == 2
    run(agent, key, "--always-resolve", "true")
    run(agent, key, "--always-resolve", "true")
    sandbox.wait_for(lambda: len(events(sandbox, key)) == 5, "two more")


def test_what_a_job_has_triggered_is_known_after_a_restart(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    key = next(keys)
    run(agent, key, "true")
    run(agent, key, "false", code=1)
    agent.kill()
    agent.start()
    assert job(agent, key)["alert_open"]
    run(agent, key, "true")
    sandbox.wait_for(lambda: alert(sandbox, key) == "resolved", "a resolve")
    assert not job(agent, key)["alert_open"]


@pytest.mark.parametrize("killed", ["not", "before", "after"])
def test_a_job_that_stops_reporting_triggers(
    agent: AgentProcess, sandbox: SandboxProcess, killed: str
) -> None:
    """The agent is killed before the time is over and runs again before, or only after that."""
    key = next(keys)
    run(agent, key, "--expect-every", "3", "true")
    expected_by = job(agent, key)["expected_by"]
    assert expected_by
    if killed != "not":
        agent.kill()
        if killed == "after":
            _wait_until(expected_by)
        agent.start()
    sandbox.wait_for(lambda: alert(sandbox, key) == "open", "the alarm")
    alarm = events(sandbox, key)[-1]["body"]["payload"]
    assert "no success reported within 3s" in alarm["summary"]
    assert alarm["timestamp"] == expected_by
    assert job(agent, key)["expected_by"] is None
    run(agent, key, "--expect-every", "1h", "true")
    sandbox.wait_for(lambda: alert(sandbox, key) == "resolved", "its resolve")
    assert job(agent, key)["expected_by"] > expected_by


def _wait_until(timestamp: str) -> None:
    while datetime.fromisoformat(timestamp).timestamp() > time.time():
        time.sleep(0.05)


def test_a_success_in_the_spool_is_no_reason_for_an_alarm(
    agent: AgentProcess, sandbox: SandboxProcess, spool: Path
) -> None:
    key = next(keys)
    run(agent, key, "--expect-every", "5", "true")
    expected_by = job(agent, key)["expected_by"]
    agent.stop()
    assert "waits in" in run(agent, key, "--expect-every", "1h", "true")
    _wait_until(expected_by)
    agent.start()
    agent.wait_for(lambda: job(agent, key)["expected_by"] > expected_by, "the spooled report")
    agent.wait_until_drained()
    assert "trigger" not in [each["action"] for each in events(sandbox, key)]


def test_a_report_that_expects_nothing_more_ends_it(agent: AgentProcess) -> None:
    key = next(keys)
    run(agent, key, "--expect-every", "1h", "true")
    assert job(agent, key)["expected_by"]
    run(agent, key, "--expect-every", "never", "true")
    assert job(agent, key)["expected_by"] is None


def test_parameters_that_are_wrong_cost_no_event(agent: AgentProcess) -> None:
    key = next(keys)
    trigger = {"routing_key": key, "event_action": "trigger", "dedup_key": "run/web1/x"}
    trigger["payload"] = {"summary": "x", "source": "web1", "severity": "error"}  # type: ignore[assignment]
    query = {"job": "x", "expect_every": "1e999"}
    headers = {"Pd-Event-Version": "v2"}
    answer = agent.post("/send", params=query, json=trigger, headers=headers)
    assert answer.status_code == 200
    assert "NOT expected" in answer.json()["warnings"][0]


def test_operators_see_when_a_job_is_due(agent: AgentProcess) -> None:
    key = next(keys)
    assert agent.cli("queue", "jobs").stdout == "No job has reported.\n"
    run(agent, key, "--expect-every", "25h", "false", code=1)
    (line,) = agent.cli("queue", "jobs").stdout.splitlines()
    assert re.search(r"^run/\S+/backup .* alert open  success expected by .* \(in 1d00h\)", line)
    (event,) = agent.get("/queue/events", params={"state": "waiting,delivered"}).json()["events"]
    history = agent.cli("queue", "show", event["id"]).stdout
    assert "report of a job, next success expected by" in history
