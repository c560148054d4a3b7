"""Clients that can't be run here: for each, what it sends and exactly what it checks.

Alertmanager and the Python SDK run as themselves, in tests of their own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import yaml

from tests.agent_process import AgentProcess
from tests.clients.documented import KEY, PAGES, blocks, url_in
from tests.sandbox_process import SandboxProcess

LARGEST = 512_000
LIMIT = 3
JSON = "application/json"


class ClientFailed(Exception):
    """What the client would have told its user."""


@pytest.fixture(scope="module")
def running_agent(
    tmp_path_factory: pytest.TempPathFactory, running_sandbox: SandboxProcess
) -> Iterator[AgentProcess]:
    directory = tmp_path_factory.mktemp("clients") / "agent"
    with AgentProcess(directory, running_sandbox.url, max_queue_length=LIMIT) as process:
        yield process


@pytest.fixture
def agent(running_agent: AgentProcess, sandbox: SandboxProcess) -> Iterator[AgentProcess]:
    """One agent for all tests here; each leaves it with nothing waiting."""
    yield running_agent
    sandbox.behave(down=False)
    running_agent.wait_until_drained()


def post(
    agent: AgentProcess, documented: str, event: Any, headers: Mapping[str, str | None]
) -> requests.Response:
    """POST as the client does to the path of the documented address; no `Authorization`."""
    path = urlsplit(documented).path
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    return agent.session().post(f"{agent.url}{path}", data=body, headers=headers, timeout=30)


def grafana(agent: AgentProcess, event: Any) -> None:
    """Any 2xx, whatever the body; otherwise the alert is lost, for it never tries again."""
    [page] = map(yaml.safe_load, blocks("grafana", "yaml"))
    [receiver] = page["contactPoints"][0]["receivers"]
    assert receiver["settings"]["integrationKey"] == KEY
    headers = {"Content-Type": "application/json", "User-Agent": "Grafana"}
    answer = post(agent, receiver["settings"]["url"], event, headers)
    if answer.status_code // 100 != 2:
        raise ClientFailed(answer.text)


def go_pagerduty(agent: AgentProcess, event: Any) -> str:
    """Exactly 202, and JSON whose fields have the types of its struct; the dedup key."""
    base = url_in(blocks("go-pagerduty", "go")[0])
    headers = {"User-Agent": "go-pagerduty/1.8.0", "Content-Type": "application/json"}
    answer = post(agent, f"{base}/v2/enqueue", event, headers)
    return _read_as_go_does(answer, 202, "dedup_key")


def go_pagerduty_change(agent: AgentProcess, event: Any) -> None:
    """Exactly 202, like alert events; there is no key to read."""
    base = url_in(blocks("go-pagerduty", "go")[0])
    headers = {"User-Agent": "go-pagerduty/1.8.0", "Content-Type": "application/json"}
    answer = post(agent, f"{base}/v2/change/enqueue", event, headers)
    assert _read_as_go_does(answer, 202, "dedup_key") == ""


def go_pagerduty_v1(agent: AgentProcess, event: Any) -> str:
    """Exactly 200; the incident key."""
    base = url_in(blocks("go-pagerduty", "go")[0])
    headers = {"User-Agent": "go-pagerduty/1.8.0", "Content-Type": "application/json"}
    answer = post(agent, f"{base}/generic/2010-04-15/create_event.json", event, headers)
    return _read_as_go_does(answer, 200, "incident_key")


def _read_as_go_does(answer: requests.Response, success: int, key: str) -> str:
    if answer.status_code != success:
        raise ClientFailed(f"HTTP Status Code: {answer.status_code}, Message: {answer.text}")
    body = answer.json()
    assert isinstance(body, dict)
    for name in ("status", "message", key):
        assert isinstance(body.get(name, ""), str)
    assert all(isinstance(error, str) for error in body.get("errors", []))
    return str(body.get(key, ""))


def zabbix(agent: AgentProcess, event: Any) -> None:
    """JSON in any case; exactly 202 and `status` `success`; else it shows `errors[0]`."""
    answer = post(agent, url_in(blocks("zabbix", "js")[0]), event, {"Content-Type": JSON})
    try:
        body = json.loads(answer.text)
    except ValueError:
        raise ClientFailed("incorrect response: a non-JSON object") from None
    if answer.status_code != 202:
        first = body["errors"][0] if isinstance(body.get("errors"), list) else None
        raise ClientFailed(first if isinstance(first, str) else "Unknown error.")
    if body["status"] != "success":
        raise ClientFailed("Unknown error.")


def sensu(agent: AgentProcess, event: Any) -> None:
    """200 or 202; one more try with a text in place of the details."""
    [page] = map(yaml.safe_load, blocks("sensu", "yaml"))
    documented = page["spec"]["command"].split()[-1]
    assert page["spec"]["env_vars"] == [f"PAGERDUTY_TOKEN={KEY}"]
    answer = post(agent, documented, event, {"Content-Type": JSON})
    if answer.status_code not in (200, 202):
        raise ClientFailed(answer.text)


Client = Callable[[AgentProcess, Any], object]


def alert(action: str = "trigger", **fields: Any) -> dict[str, Any]:
    payload = {"summary": "Disk full", "source": "db1", "severity": "critical"}
    known = {"routing_key": KEY, "event_action": action, "dedup_key": "db1/disk"}
    return {**known, "payload": payload, **fields}


V1 = {
    "service_key": KEY,
    "event_type": "trigger",
    "incident_key": "db1/disk",
    "description": "Disk full",
    "details": {"free": "0"},
}
CHANGE = {
    "routing_key": KEY,
    "payload": {"summary": "Deployed 4.2", "source": "ci", "timestamp": "2026-08-01T10:00:00Z"},
    "links": [{"href": "https://ci.example.com/42", "text": "Build"}],
}
GRAFANA = alert(
    dedup_key=hashlib.sha256(b"group").hexdigest(),
    payload={
        "summary": "[FIRING:1] Disk full",
        "source": "db1",
        "severity": "critical",
        "class": "default",
        "component": "Grafana",
        "group": "default",
        "custom_details": {"firing": "...", "num_firing": "1", "resolved": ""},
    },
    client="Grafana",
    client_url="https://grafana.example.com/",
    links=[{"href": "https://grafana.example.com/", "text": "External URL"}],
)
ZABBIX = alert(
    dedup_key="4711",
    payload={
        "summary": "Problem: Disk full",
        "source": "db1 : 192.0.2.1",
        "severity": "error",
        "custom_details": {"Event date": "2026.08.01", "Event tags": ""},
    },
    links=[{"href": "https://zabbix.example.com/tr_events.php?triggerid=1", "text": "Event link"}],
    client="Zabbix",
    client_url="https://zabbix.example.com",
)
SENSU = alert(
    payload={
        "source": "db1",
        "component": "check-disk",
        "severity": "critical",
        "summary": "db1/check-disk : CRITICAL",
        "custom_details": {"check": {"output": "CRITICAL", "status": 2}, "entity": {}},
    }
)


def resolving(event: dict[str, Any]) -> dict[str, Any]:
    return {**event, "event_action": "resolve"}


def bare(action: str, dedup_key: str = "db1/disk") -> dict[str, Any]:
    return {"routing_key": KEY, "event_action": action, "dedup_key": dedup_key}


TAKEN: list[tuple[Client, list[dict[str, Any]]]] = [
    (grafana, [GRAFANA, resolving(GRAFANA)]),
    (go_pagerduty, [alert(), alert("acknowledge"), bare("resolve")]),
    (go_pagerduty_change, [CHANGE]),
    (go_pagerduty_v1, [V1, {**V1, "event_type": "acknowledge"}, {**V1, "event_type": "resolve"}]),
    (zabbix, [ZABBIX, bare("acknowledge", "4711"), bare("resolve", "4711")]),
    (sensu, [SENSU, resolving(SENSU)]),
]


@pytest.mark.parametrize(("client", "events"), TAKEN)
def test_what_the_client_sends_is_a_success_to_it_and_arrives_as_sent(
    client: Client, events: list[dict[str, Any]], agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    for event in events:
        client(agent, event)
    arrived = sandbox.wait_for_events(len(events))
    for event, delivered in zip(events, arrived, strict=True):
        body = delivered["body"]
        body.pop("agent", None)
        if "timestamp" not in event.get("payload", {"timestamp": "none is needed"}):
            assert body["payload"].pop("timestamp")
        assert body == event


@pytest.mark.parametrize("client", [grafana, go_pagerduty, go_pagerduty_v1, zabbix, sensu])
def test_what_pagerduty_would_refuse_is_a_failure_to_it_and_names_the_reason(
    client: Client, agent: AgentProcess
) -> None:
    before = agent.totals()["accepted"]
    event = {**V1, "event_type": "open"} if client is go_pagerduty_v1 else alert("open")
    with pytest.raises(ClientFailed, match="'open' is not one of trigger, acknowledge, resolve"):
        client(agent, event)
    assert agent.totals()["accepted"] == before


def test_a_full_queue_is_a_failure_to_each_of_them_and_says_so(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    sandbox.behave(down=True)
    for _ in range(LIMIT):
        zabbix(agent, alert())
    for client in (grafana, go_pagerduty, go_pagerduty_v1, zabbix, sensu):
        with pytest.raises(ClientFailed, match="max_queue_length"):
            client(agent, V1 if client is go_pagerduty_v1 else alert())


def test_go_pagerduty_learns_the_key_that_a_trigger_was_given(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    event = alert()
    del event["dedup_key"]
    dedup_key = go_pagerduty(agent, event)
    v1 = {name: value for name, value in V1.items() if name != "incident_key"}
    incident_key = go_pagerduty_v1(agent, v1)
    keys = [event["dedup_key"] for event in sandbox.wait_for_events(2)]
    assert keys == [dedup_key, incident_key]
    assert all(keys)


def test_grafanas_largest_event_is_taken(agent: AgentProcess, sandbox: SandboxProcess) -> None:
    # Grafana cuts at this size itself and adds no timestamp: the agent's must not be too much.
    event = json.loads(json.dumps(GRAFANA))
    event["payload"]["summary"] = "ü" * 1_024
    event["payload"]["custom_details"]["firing"] = ""
    room = LARGEST - len(json.dumps(event).encode())
    event["payload"]["custom_details"]["firing"] = "x" * room
    body = json.dumps(event).encode()
    assert len(body) == LARGEST
    grafana(agent, body)
    [arrived] = sandbox.wait_for_events(1)
    assert arrived["status"] == 202


def test_every_client_has_a_page_that_the_index_lists() -> None:
    index = (PAGES / "README.md").read_text()
    for page in PAGES.glob("*.md"):
        if page.name != "README.md":
            assert f"]({page.name})" in index
            text = page.read_text()
            assert "127.0.0.1:49463" in text
