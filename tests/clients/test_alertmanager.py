"""Prometheus Alertmanager as a process, with nothing but its `url` changed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.agent_process import AgentProcess
from tests.clients.alertmanager_process import PROGRAM, AlertmanagerProcess
from tests.clients.documented import KEY, blocks, pointed_at
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="Alertmanager is not installed (Debian: prometheus-alertmanager)"
)

LIMIT = 2


def documented_config(agent: AgentProcess) -> dict[str, Any]:
    """The page's configuration; only its times are shorter, so that nobody has to wait."""
    config: dict[str, Any] = yaml.safe_load(
        pointed_at(blocks("alertmanager", "yaml")[0], agent.address)
    )
    config["route"] |= {"group_wait": "0s", "group_interval": "1s", "repeat_interval": "1h"}
    return config


@pytest.fixture
def agent(tmp_path: Path, sandbox: SandboxProcess) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path / "agent", sandbox.url, max_queue_length=LIMIT) as process:
        yield process


@pytest.fixture
def alertmanager(agent: AgentProcess, tmp_path: Path) -> Iterator[AlertmanagerProcess]:
    with AlertmanagerProcess(tmp_path / "alertmanager", documented_config(agent)) as process:
        yield process


def test_alerts_fired_and_resolved_during_an_outage_arrive_later_in_order(
    agent: AgentProcess, sandbox: SandboxProcess, alertmanager: AlertmanagerProcess
) -> None:
    sandbox.behave(down=True)
    began = time.time()
    alertmanager.fire("DiskFull", summary="Disk full on db1")
    agent.wait_for(lambda: agent.totals()["accepted"] == 1, "the firing alert is accepted")
    fired = time.time()
    alertmanager.resolve("DiskFull")
    agent.wait_for(lambda: agent.totals()["accepted"] == 2, "its resolve is accepted")
    assert sandbox.events() == []
    returned = time.time()
    sandbox.behave(down=False)
    trigger, resolve = sandbox.wait_for_events(2)
    assert (trigger["action"], resolve["action"]) == ("trigger", "resolve")
    assert trigger["routing_key"] == KEY
    assert trigger["dedup_key"] == resolve["dedup_key"] != ""
    payload = trigger["body"]["payload"]
    assert "DiskFull" in payload["summary"]
    assert payload["custom_details"]["num_firing"] == "1"
    assert trigger["body"]["client"] == "Alertmanager"
    happened, ended = (
        datetime.fromisoformat(event["body"]["payload"]["timestamp"]).timestamp()
        for event in (trigger, resolve)
    )
    assert began - 0.01 <= happened <= fired
    assert fired - 0.01 <= ended < returned, "they show when it was, not when they were delivered"
    assert [alert["status"] for alert in sandbox.alerts()] == ["resolved"]


def test_a_full_queue_is_waited_out(
    agent: AgentProcess, sandbox: SandboxProcess, alertmanager: AlertmanagerProcess
) -> None:
    sandbox.behave(down=True)
    names = [f"Alert{number}" for number in range(LIMIT + 1)]
    for number, name in enumerate(names, 1):
        alertmanager.fire(name)
        if number <= LIMIT:
            agent.wait_for(lambda n=number: agent.totals()["accepted"] == n, f"{name} is accepted")  # type: ignore[misc]
    agent.wait_for(lambda: "status code 429" in alertmanager.log(), "the last alert is refused")
    assert agent.totals()["accepted"] == LIMIT
    sandbox.behave(down=False)
    events = sandbox.wait_for_events(LIMIT + 1, timeout=60)
    summaries = [event["body"]["payload"]["summary"] for event in events]
    assert all(name in summary for name, summary in zip(names, summaries, strict=True)), summaries


def test_what_is_invalid_is_final_and_alertmanager_logs_why(
    agent: AgentProcess, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    config = documented_config(agent)
    [receiver] = config["receivers"]
    receiver["pagerduty_configs"][0]["routing_key"] = "too-short"
    with AlertmanagerProcess(tmp_path / "alertmanager", config) as alertmanager:
        alertmanager.fire("DiskFull")
        agent.wait_for(
            lambda: "32 letters and digits" in alertmanager.log(), "Alertmanager logs the reason"
        )
        assert "status code 400" in alertmanager.log()
    assert agent.totals()["accepted"] == 0
