"""From a request to PagerDuty: nothing that was sent is changed, and little is added."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import requests

from tests.agent_process import AgentProcess
from tests.pdagent.httpapi.sample_events import change, new_key, trigger, v1_trigger
from tests.sandbox_process import SandboxProcess

V1_PATH = "/generic/2010-04-15/create_event.json"
LARGEST = 512_000
SUCCESS = {"status": "success", "message": "Event processed"}

# Names that nobody knows, numbers that no parser keeps, escapes and white space inside values.
ODD_DETAILS = (
    '{ "z":1.10,"a":[1e400 , -0, 12345678901234567890123, 1E-7],\t"":null,"a b":{"deep":{}},'
    '"ü":"\\u00fc\\/\\ud83d\\ude00"}'
)


@pytest.fixture(scope="module")
def running_agent(
    tmp_path_factory: pytest.TempPathFactory, running_sandbox: SandboxProcess
) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path_factory.mktemp("arrives"), running_sandbox.url) as process:
        yield process


def post(agent: AgentProcess, path: str, body: bytes | dict[str, Any]) -> requests.Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return agent.session().post(f"{agent.url}{path}", data=data, timeout=30)


def raw_bodies(sandbox: SandboxProcess, count: int) -> list[str]:
    """The bodies that arrived, as they were written."""
    sandbox.wait_for_events(count)
    answer = requests.get(f"{sandbox.control_url}/sandbox/events", timeout=30)
    bodies = re.findall(r'"body":(\{.*?\}),"status":', answer.text)
    assert len(bodies) == count
    return bodies


def test_every_byte_of_a_complete_event_arrives(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    key = new_key()
    alert = (
        f'{{"future":{ODD_DETAILS},"payload":{{ "severity":"info","timestamp":"2026-08-01",'
        f'"custom_details":{ODD_DETAILS},"source":"db1", "more":[ ],"summary":"\\u0041 ß 😀"}},'
        f'"dedup_key":"a","routing_key":"{key}","event_action":"trigger","x":1.0}}'
    )
    changed = (
        f'{{"routing_key":"{key}","future":{ODD_DETAILS},"payload":{{"timestamp":"2026-08-01",'
        f'"summary":"Deployed","custom_details":{ODD_DETAILS}}}}}'
    )
    v1 = (
        f'{{"details":{ODD_DETAILS},"agent":{{"queued_by":"me", "n":1.50}},"future":{ODD_DETAILS},'
        f'"event_type":"resolve","incident_key":"a","service_key":"{key}"}}'
    )
    sent = {"/v2/enqueue": alert, "/v2/change/enqueue": changed, V1_PATH: v1}
    for path, text in sent.items():
        assert post(agent, path, text.encode()).status_code in (200, 202)
    assert raw_bodies(sandbox, 3) == list(sent.values())


def test_what_the_agent_adds_comes_last_and_is_in_the_answer(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    began = time.time()
    alert, changed, v1 = trigger(), change(), v1_trigger()
    answers = [
        post(agent, "/v2/enqueue", alert),
        post(agent, "/v2/change/enqueue", changed),
        post(agent, V1_PATH, v1),
    ]
    ended = time.time()
    assert [answer.status_code for answer in answers] == [202, 202, 200]
    told = [answer.json() for answer in answers]
    dedup_key, incident_key = told[0].pop("dedup_key"), told[2].pop("incident_key")
    assert told == [SUCCESS, SUCCESS, SUCCESS], "nothing else, and a change has no dedup key"
    arrived = {event["kind"]: event["body"] for event in sandbox.wait_for_events(3)}
    times = [arrived[kind]["payload"].pop("timestamp") for kind in ("v2", "change")]
    stamp = arrived["v1"].pop("agent")
    assert stamp.keys() == {"queued_by", "queued_at", "agent_id"}
    for moment in (*times, stamp["queued_at"]):
        assert began - 0.01 <= datetime.fromisoformat(moment).timestamp() <= ended
    assert list(arrived["v2"].items()) == [*alert.items(), ("dedup_key", dedup_key)]
    assert arrived["change"] == changed
    assert list(arrived["v1"].items()) == [*v1.items(), ("incident_key", incident_key)]


def test_alerts_changes_and_v1_events_of_a_key_share_one_order(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    sandbox.behave(down=True)
    key, expected = new_key(), []
    for number in range(30):
        path, event = [
            ("/v2/enqueue", trigger(key)),
            ("/v2/change/enqueue", change(key)),
            (V1_PATH, v1_trigger(key)),
        ][(number * 7 + number // 4) % 3]
        post(agent, path, {**event, "number": number}).raise_for_status()
        expected.append(path)
    sandbox.behave(down=False)
    arrived = sandbox.wait_for_events(30)
    assert [event["body"]["number"] for event in arrived] == list(range(30))
    assert [event["path"] for event in arrived] == expected


def test_long_summaries_are_shortened_with_a_warning_on_every_path(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    text = "é" * 2_000
    events: dict[str, tuple[dict[str, Any], str]] = {
        "/v2/enqueue": (trigger(), "payload.summary"),
        "/v2/change/enqueue": (change(), "payload.summary"),
        V1_PATH: (v1_trigger(), "description"),
    }
    for path, (event, field) in events.items():
        if field == "description":
            event["description"] = text
        else:
            event["payload"]["summary"] = text
        [warning] = post(agent, path, event).json()["warnings"]
        assert warning.startswith(f"{field}: shortened from 2,000 to 1,024 characters")
    for event in sandbox.wait_for_events(3):
        body = event["body"]
        arrived = body["description"] if event["kind"] == "v1" else body["payload"]["summary"]
        assert arrived == "é" * 1_023 + "…"


def test_an_event_that_outgrows_the_limit_in_the_agent_is_fitted_and_arrives(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    for path, event, details in (
        ("/v2/enqueue", trigger(), "payload.custom_details"),
        ("/v2/change/enqueue", change(), "payload.custom_details"),
        (V1_PATH, v1_trigger(), "details"),
    ):
        owner = event["payload"] if details.startswith("payload") else event
        owner[details.rpartition(".")[2]] = {"log": ""}
        room = LARGEST - len(json.dumps(event, separators=(",", ":")).encode())
        owner[details.rpartition(".")[2]]["log"] = "x" * room
        body = json.dumps(event, separators=(",", ":")).encode()
        assert len(body) == LARGEST
        answer = post(agent, path, body)
        assert answer.status_code in (200, 202)
        assert any("512,000 bytes" in warning for warning in answer.json()["warnings"])
    arrived = sandbox.wait_for_events(3)
    assert [event["status"] for event in arrived] == [202, 202, 200]
