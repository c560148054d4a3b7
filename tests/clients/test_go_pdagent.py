"""The protocol of go-pdagent's client: its paths, headers and bodies, and the fields it reads.

Requests are written byte by byte as Go's net/http and the client's structs write them.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.agent_process import AgentProcess
from tests.clients.documented import ADDRESS, KEY, blocks
from tests.pdagent.httpapi.raw_http import Answer, RawConnection
from tests.sandbox_process import SandboxProcess

OTHER_KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"
STATUS_KEY = "e93facc04764012d7bfb002500d5d1a6"


def call(
    agent: AgentProcess, method: str, target: str, event: Any = None, **headers: str
) -> Answer:
    """One request as Go's client writes it: header names in canonical form, gzip offered."""
    body = b"" if event is None else json.dumps(event, separators=(",", ":")).encode()
    lines = [f"{method} {target} HTTP/1.1", f"Host: {agent.address}"]
    lines.append("User-Agent: Go-http-client/1.1")
    if method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    if event is not None:
        lines.append("Accept: application/json")
    lines.append(f"Authorization: token {headers.pop('secret', agent.secret)}")
    if event is not None:
        lines.append("Content-Type: application/json")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines.append("Accept-Encoding: gzip")
    with RawConnection(agent) as connection:
        return connection.send("\r\n".join([*lines, "", ""]).encode() + body).answer(method)


def v1_event(kind: str = "trigger", key: str = KEY) -> dict[str, Any]:
    """As its struct is written: `agent` and `description` are always there."""
    return {
        "service_key": key,
        "event_type": kind,
        "incident_key": "db1/disk",
        "description": "Disk full" if kind == "trigger" else "",
        "details": {"free": "0"},
        "agent": {"queued_by": "", "queued_at": "", "agent_id": ""},
    }


def v2_event(action: str = "trigger", key: str = KEY) -> dict[str, Any]:
    """As its struct is written: a resolve comes with an empty payload."""
    triggers = action == "trigger"
    return {
        "routing_key": key,
        "event_action": action,
        "dedup_key": "db1/load",
        "payload": {
            "summary": "Load is high" if triggers else "",
            "source": "db1" if triggers else "",
            "severity": "error",
        },
    }


def test_send_answers_200_with_a_key(agent: AgentProcess, sandbox: SandboxProcess) -> None:
    for kind in ("trigger", "acknowledge", "resolve"):
        for version, event in (("v1", v1_event(kind)), ("v2", v2_event(kind))):
            answer = call(agent, "POST", "/send", event, Pd_Event_Version=version)
            assert answer.status == 200, answer.body
            assert answer.headers["content-type"] == "application/json"
            assert isinstance(answer.json()["key"], str)
            assert answer.json()["key"]
    events = sandbox.wait_for_events(6)
    assert [event["kind"] for event in events] == ["v1", "v2"] * 3
    # What the client leaves empty is filled in.
    agent_object = events[0]["body"].pop("agent")
    assert agent_object.keys() == v1_event()["agent"].keys()
    assert all(agent_object.values())
    assert {**events[0]["body"], "agent": v1_event()["agent"]} == v1_event()
    assert events[1]["body"]["payload"].pop("timestamp")
    assert events[1]["body"] == v2_event()


def test_status_has_the_items_that_the_client_prints(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    assert call(agent, "GET", f"/queue/status?rk={STATUS_KEY}").json() == {"status_items": []}
    for key in (KEY, STATUS_KEY):
        call(agent, "POST", "/send", v2_event(key=key), Pd_Event_Version="v2")
    agent.wait_until_drained()
    # Without -k the client sends an empty rk: all queues are meant.
    answer = call(agent, "GET", "/queue/status?rk=")
    assert answer.status == 200
    items = answer.json()["status_items"]
    assert len(items) >= 2
    for item in items:
        assert isinstance(item["routing_key"], str)
        assert all(isinstance(item[name], int) for name in ("pending", "success", "error"))
    [item] = call(agent, "GET", f"/queue/status?rk={STATUS_KEY}").json()["status_items"]
    assert [item[name] for name in ("pending", "success", "error")] == [0, 1, 0]
    assert item["routing_key"] == STATUS_KEY
    assert STATUS_KEY not in [item["routing_key"] for item in items]
    hidden = call(agent, "GET", f"/queue/status?rk={STATUS_KEY}&show_keys=0").json()
    assert STATUS_KEY not in str(hidden)
    every = call(agent, "GET", "/queue/status?show_keys=1").json()["status_items"]
    assert {KEY, STATUS_KEY} <= {item["routing_key"] for item in every}


def test_retry_says_how_many_events_it_retries(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    for target, retried in (("/queue/retry?rk=", 2), (f"/queue/retry?rk={KEY}", 1)):
        sandbox.behave(fail=400)
        for key in (KEY, OTHER_KEY):
            call(agent, "POST", "/send", v2_event(key=key), Pd_Event_Version="v2")
        agent.wait_until_drained()
        sandbox.reset()
        answer = call(agent, "POST", target)
        assert answer.status == 200
        assert answer.json()["message"] == f"Retrying {retried} events."
        agent.wait_until_drained()
        assert len(sandbox.events()) == retried


def test_the_page_says_what_go_pdagents_config_takes() -> None:
    [config] = map(yaml.safe_load, blocks("go-pdagent", "yaml"))
    assert config == {"address": ADDRESS, "secret": "SECRET"}


def test_health_is_ok(agent: AgentProcess) -> None:
    answer = call(agent, "GET", "/health")
    assert (answer.status, answer.body) == (200, b"OK")


def test_a_wrong_secret_is_a_401_in_the_shape_that_go_pdagent_has(agent: AgentProcess) -> None:
    before = agent.totals()["accepted"]
    for method, target, event in (
        ("POST", "/send", v1_event()),
        ("GET", "/queue/status?rk=", None),
        ("POST", "/queue/retry?rk=", None),
    ):
        answer = call(agent, method, target, event, secret="wrong")
        assert answer.status == 401
        [error] = answer.json()["errors"]
        assert isinstance(error, str)
    assert agent.totals()["accepted"] == before
