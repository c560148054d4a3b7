"""Events that reach the agent in the wrong order, with the time at which they occurred."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import count, permutations
from pathlib import Path
from typing import Any

import pytest
import requests

from pdagent.spool import SpooledEvent, put
from tests.agent_process import AgentProcess
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import key_number

V1_PATH = "/generic/2010-04-15/create_event.json"
PATHS = ("/v2/enqueue", V1_PATH, "/send v1", "/send v2", "/send/batch")
ALERT = "db1/disk"

keys = map(key_number, count(9_000))


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("occurrence") / "spool"


@pytest.fixture(scope="module")
def agent(running_sandbox: SandboxProcess, spool: Path) -> Iterator[AgentProcess]:
    with AgentProcess(spool.parent / "agent", running_sandbox.url, spool=spool) as process:
        yield process


def event(key: str, action: str, *, v1: bool = False) -> dict[str, Any]:
    if v1:
        fields = {"service_key": key, "event_type": action, "incident_key": ALERT}
        return {**fields, "description": "disk full"}
    fields = {"routing_key": key, "event_action": action, "dedup_key": ALERT}
    if action != "trigger":
        return fields
    return {**fields, "payload": {"summary": "disk full", "source": "db1", "severity": "error"}}


def tell(
    agent: AgentProcess,
    key: str,
    action: str,
    occurred_at: str | float | None,
    path: str = "/send v2",
    **more: str,
) -> dict[str, Any]:
    """Send an event of the alert; the receipt."""
    headers: dict[str, str] = dict(more)
    if occurred_at is not None:
        headers["Pd-Occurred-At"] = str(occurred_at)
    address, _, version = path.partition(" ")
    if version:
        headers["Pd-Event-Version"] = version
    body = json.dumps(event(key, action, v1=version == "v1" or path == V1_PATH))
    answer = agent.post(address, data=body, headers=headers)
    assert answer.status_code in (200, 202), answer.text
    receipt: dict[str, Any] = answer.json()
    return receipt


def ends(agent: AgentProcess, sandbox: SandboxProcess, key: str) -> tuple[list[str], list[str]]:
    """What arrived of a key in which order, and how its alerts stand now."""
    agent.wait_until_drained()
    actions = [
        each["body"].get("event_action") or each["body"]["event_type"]
        for each in sandbox.events(key)
    ]
    return actions, [alert["status"] for alert in sandbox.alerts(key)]


@pytest.mark.parametrize("path", PATHS)
def test_a_trigger_that_comes_after_its_resolve_ends_resolved(
    agent: AgentProcess, sandbox: SandboxProcess, path: str
) -> None:
    key, now = next(keys), time.time()
    assert "warnings" not in tell(agent, key, "resolve", now - 1, path)
    receipt = tell(agent, key, "trigger", now - 2, path)
    assert "delivered, and then resolved by event" in receipt["warnings"][0]
    actions, alerts = ends(agent, sandbox, key)
    assert actions == ["resolve", "trigger", "resolve"]
    assert alerts == ["resolved"]
    assert all(each["status"] in (200, 202) for each in sandbox.events(key))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("action", ["resolve", "acknowledge"])
def test_what_is_older_than_the_trigger_is_not_delivered(
    agent: AgentProcess, sandbox: SandboxProcess, path: str, action: str
) -> None:
    key, now = next(keys), time.time()
    tell(agent, key, "trigger", now - 1, path)
    receipt = tell(agent, key, action, now - 2, path)
    assert "overtaken" in receipt["warnings"][0]
    assert ends(agent, sandbox, key) == (["trigger"], ["open"])


def test_operators_see_why(agent: AgentProcess) -> None:
    key, now = next(keys), time.time()
    tell(agent, key, "resolve", now - 1)
    trigger = tell(agent, key, "trigger", now - 2)
    tell(agent, key, "trigger", now - 0.5)
    overtaken = tell(agent, key, "resolve", now - 0.7)
    agent.wait_until_drained()
    closing = trigger["warnings"][0].split()[-1]
    shown = {id_: agent.cli("queue", "show", id_).stdout for id_ in (closing, trigger["key"])}
    assert f"made by the agent: trigger {trigger['key']} arrived after" in shown[closing]
    assert "from pagerduty-agent" in shown[closing]
    assert f"resolved by event {closing}" in shown[trigger["key"]]
    assert "occurred at 20" in shown[trigger["key"]]
    life = agent.get(f"/queue/events/{overtaken['key']}").json()
    assert life["state"] == "discarded"
    assert life["history"][-1]["reason"] == "overtaken"
    assert "overtaken" in agent.cli("queue", "show", overtaken["key"]).stdout


def test_any_order_of_arrival_ends_in_the_right_state(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    now, expected = time.time() - 10, dict[str, list[str]]()
    for last in ("trigger", "resolve"):
        history = ["trigger", "resolve", "trigger", last]
        for order in permutations(range(4)):
            key = next(keys)
            for n in order:
                tell(agent, key, history[n], now + n)
            expected[key] = ["open"] if last == "trigger" else ["resolved"]
    agent.wait_until_drained()
    for key, alerts in expected.items():
        assert [alert["status"] for alert in sandbox.alerts(key)][-1:] == alerts


def test_without_a_time_the_order_of_acceptance_counts(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    key, now = next(keys), time.time()
    tell(agent, key, "resolve", now - 1)
    tell(agent, key, "trigger", None)
    tell(agent, key, "resolve", None)
    tell(agent, key, "trigger", None)
    assert "warnings" not in tell(agent, key, "trigger", now - 2)
    actions, alerts = ends(agent, sandbox, key)
    assert actions == ["resolve", "trigger", "resolve", "trigger", "trigger"]
    assert alerts[-1:] == ["open"]


@pytest.mark.parametrize("path", PATHS)
def test_a_time_that_can_not_be_read_costs_no_page(
    agent: AgentProcess, sandbox: SandboxProcess, path: str
) -> None:
    key = next(keys)
    odd = ["yesterday", "$service.last_state_change$", "0", "-5", "", "nan", "1785578400250", "é"]
    for value in odd:
        receipt = tell(agent, key, "trigger", value, path)
        assert receipt["warnings"][0].startswith("Pd-Occurred-At: ignored"), value
    assert ends(agent, sandbox, key) == (["trigger"] * len(odd), ["open"])


def test_a_time_in_the_future_counts_as_now(agent: AgentProcess, sandbox: SandboxProcess) -> None:
    key = next(keys)
    tell(agent, key, "resolve", "2099-12-31T23:59:59Z")
    tell(agent, key, "trigger", time.time())
    tell(agent, key, "resolve", "4000000000.5")
    tell(agent, key, "trigger", 99_999_999_999)
    actions, alerts = ends(agent, sandbox, key)
    assert actions == ["resolve", "trigger", "resolve", "trigger"]
    assert alerts[-1:] == ["open"]


def test_times_are_read_as_numbers_and_as_iso_8601(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    key = next(keys)
    tell(agent, key, "resolve", "2026-02-03T04:05:06.5+01:00")
    for n, time_ in enumerate(["2026-02-03T03:05:06.4", "2026-02-03 03:05:06Z", "1770087906.499"]):
        assert "resolved by event" in tell(agent, key, "trigger", time_)["warnings"][0], n
    assert "warnings" not in tell(agent, key, "trigger", "1770087906.5")
    ends(agent, sandbox, key)
    payload = sandbox.events(key)[-1]["body"]["payload"]
    assert payload["timestamp"] == "2026-02-03T03:05:06.500Z"


def test_a_repeated_request_gets_the_same_receipt_and_no_second_resolve(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    key, now = next(keys), time.time()
    tell(agent, key, "resolve", now - 1)
    repeated = {"Idempotency-Key": f"once-{key}"}
    first = tell(agent, key, "trigger", now - 2, **repeated)
    assert tell(agent, key, "trigger", now - 1.5, **repeated) == first
    assert ends(agent, sandbox, key)[0] == ["resolve", "trigger", "resolve"]


def test_what_is_known_of_alerts_survives_a_kill(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    key, now = next(keys), time.time()
    tell(agent, key, "resolve", now - 1)
    agent.kill()
    agent.start()
    tell(agent, key, "trigger", now - 2)
    assert ends(agent, sandbox, key)[1] == ["resolved"]


def test_a_spooled_event_comes_with_its_time(
    agent: AgentProcess, sandbox: SandboxProcess, spool: Path
) -> None:
    key, now = next(keys), time.time()
    tell(agent, key, "resolve", now - 1)
    body = json.dumps(event(key, "trigger")).encode()
    put(spool, SpooledEvent(kind="v2", body=body, idempotency_key=key, occurred=str(now - 2)))
    agent.wait_for(lambda: len(sandbox.events(key)) == 3, "the trigger and its resolve")
    assert ends(agent, sandbox, key)[1] == ["resolved"]


def test_a_batch_has_one_time_for_all_its_lines(agent: AgentProcess) -> None:
    key, now = next(keys), time.time()
    tell(agent, key, "resolve", now - 1)
    lines = "\n".join(json.dumps(event(key, "trigger")) for _ in range(2))
    answer: requests.Response = agent.post(
        "/send/batch", data=lines, headers={"Pd-Occurred-At": str(now - 2)}
    )
    receipts = [json.loads(line) for line in answer.text.splitlines()]
    assert ["resolved by" in receipt["warnings"][0] for receipt in receipts] == [True, True]
