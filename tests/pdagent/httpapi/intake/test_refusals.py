"""The agent refuses what PagerDuty is known to refuse, and nothing else; the sandbox agrees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.agent_process import AgentProcess
from tests.pdagent.httpapi.sample_events import change, new_key, trigger, v1_trigger
from tests.sandbox_process import SandboxProcess

V2, CHANGE = "/v2/enqueue", "/v2/change/enqueue"
V1 = "/generic/2010-04-15/create_event.json"
PAYLOAD = trigger()["payload"]


@pytest.fixture(scope="module")
def running_agent(
    tmp_path_factory: pytest.TempPathFactory, running_sandbox: SandboxProcess
) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path_factory.mktemp("refusals"), running_sandbox.url) as process:
        yield process


def post(
    agent: AgentProcess, path: str, event: Any, headers: dict[str, str] | None = None
) -> requests.Response:
    data = event if isinstance(event, bytes) else json.dumps(event).encode()
    return agent.session().post(f"{agent.url}{path}", data=data, headers=headers, timeout=30)


def alert(**payload: Any) -> dict[str, Any]:
    return trigger(dedup_key="web-17/disk", payload={**PAYLOAD, **payload})


def follow_up(**fields: Any) -> dict[str, Any]:
    return {
        "routing_key": new_key(),
        "event_action": "resolve",
        "dedup_key": "web-17/disk",
        **fields,
    }


DUPLICATE = (
    json.dumps(alert(custom_details={"a": 1})).encode().replace(b'"a": 1', b'"a": 1, "a": 2')
)


@pytest.mark.parametrize(
    ("path", "event"),
    [
        (V2, alert(custom_details="Triggered metrics:\n\nhost1: 5\n")),
        (V2, alert(custom_details=["a", {"b": 1}])),
        (V2, follow_up(payload={**PAYLOAD, "custom_details": "text"})),
        (CHANGE, change(payload={"summary": "Deploy", "source": "ci", "custom_details": "text"})),
        (V1, v1_trigger(details="text")),
        (V2, alert(source=30, custom_details="Sentry incident | Aug 19")),
        (V2, alert(component=5, group=True)),
        (V2, {**alert(), "dedup_key": 4711}),
        (V1, v1_trigger(incident_key="a", client=None, client_url=None, contexts=None)),
        (V2, {**alert(), "client": None, "client_url": None, "images": None, "links": None}),
        (V2, DUPLICATE),
    ],
)
def test_what_is_not_known_to_be_refused_is_delivered_unchanged(
    agent: AgentProcess, sandbox: SandboxProcess, path: str, event: Any
) -> None:
    answer = post(agent, path, event)
    assert answer.status_code == (200 if path == V1 else 202)
    assert "warnings" not in answer.json()
    sandbox.wait_for(lambda: sandbox.stats()["statuses"], "an answer")
    (received,) = sandbox.events()
    assert (received["status"], received["errors"]) == (answer.status_code, [])
    sent = json.loads(event) if isinstance(event, bytes) else event
    for name, value in sent.items():
        if name == "payload":
            value = {**received["body"]["payload"], **value}
        assert received["body"][name] == value


@pytest.mark.parametrize(
    ("path", "event", "lost"),
    [
        (V2, {**alert(), "images": [{"src": "http://graphite.example/x.png"}]}, "images"),
        (V2, follow_up(payload={"summary": "fine again"}), "payload"),
        (V1, v1_trigger(contexts=[]), "contexts"),
    ],
)
def test_what_pagerduty_would_refuse_is_left_out_with_a_warning(
    agent: AgentProcess, sandbox: SandboxProcess, path: str, event: dict[str, Any], lost: str
) -> None:
    answer = post(agent, path, event)
    assert answer.status_code == (200 if path == V1 else 202)
    (warning,) = answer.json()["warnings"]
    assert warning.startswith(f"{lost}: left out")
    sandbox.wait_for(lambda: sandbox.stats()["statuses"], "an answer")
    (received,) = sandbox.events()
    assert received["status"] == answer.status_code
    assert lost not in received["body"]


def test_the_key_may_be_in_a_header(agent: AgentProcess, sandbox: SandboxProcess) -> None:
    key = new_key()
    headers = {"X-Routing-Key": key, "Pd-Event-Version": "v2"}
    for path, event in (
        (V2, trigger()),
        (CHANGE, change()),
        (V1, v1_trigger()),
        ("/send", trigger()),
    ):
        keyless = {n: value for n, value in event.items() if not n.endswith("_key")}
        headers["Authorization"] = f"token {agent.secret}"
        assert post(agent, path, keyless, headers).ok
    sandbox.wait_for_events(4)
    assert {received["routing_key"] for received in sandbox.events()} == {key}


def test_empty_addresses_are_refused(agent: AgentProcess) -> None:
    event = {**alert(), "images": [{"src": ""}], "links": [{"href": "", "text": ""}]}
    answer = post(agent, V2, event)
    assert answer.status_code == 400
    assert [error.partition(":")[0] for error in answer.json()["errors"]] == [
        "images[0].src",
        "links[0].href",
    ]


@pytest.mark.parametrize("blank", ["", " ", "\n", "\r\n\t"])
def test_white_space_before_an_event_does_not_hide_the_reason(
    agent: AgentProcess, blank: str
) -> None:
    body = f"{blank}{json.dumps(alert(source=''))}".encode()
    expected = ["payload.source: is empty, it takes text that is not empty"]
    assert post(agent, V2, body).json()["errors"] == expected
    batch = agent.post("/send/batch", data=body + b"\n")
    (result,) = [json.loads(line) for line in batch.text.splitlines()]
    assert result["errors"] == expected
    v1 = {"service_key": new_key(), "event_type": "trigger"}
    (error,) = post(agent, V1, f"{blank}{json.dumps(v1)}".encode()).json()["errors"]
    assert error == "description: is missing, it takes text of 1 to 1,024 characters"


def test_very_many_problems_get_a_short_answer(agent: AgentProcess) -> None:
    body = json.dumps({**alert(), "images": [{}] * 119_000}).encode()
    for path, data in ((V2, body), ("/send/batch", body + b"\n")):
        answer = agent.post(path, data=data)
        assert len(answer.content) < 4_000
        errors = answer.json()["errors"]
        assert len(errors) == 21
        assert errors[-1] == "the event: has 118,980 more problems"
