"""What the sandbox answers at PagerDuty's paths, and what it keeps of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from tests.pdagent.sandbox.sample_events import (
    CHANGE,
    HEARTBEAT,
    KEY,
    OTHER_KEY,
    V1,
    V2,
    action,
    trigger,
    v1_trigger,
)
from tests.sandbox_process import SandboxProcess

Http = requests.Session


def test_a_v2_event_is_answered_as_pagerduty_does(sandbox: SandboxProcess, http: Http) -> None:
    response = http.post(sandbox.url + V2, json=trigger(dedup_key="disk"))
    assert response.status_code == 202
    assert response.headers["Content-Type"] == "application/json"
    assert response.json() == {
        "status": "success",
        "message": "Event processed",
        "dedup_key": "disk",
    }


def test_a_v1_event_is_answered_as_pagerduty_does(sandbox: SandboxProcess, http: Http) -> None:
    response = http.post(sandbox.url + V1, json=v1_trigger(incident_key="disk"))
    assert response.status_code == 200
    assert response.json() == {
        "status": "success",
        "message": "Event processed",
        "incident_key": "disk",
    }


def test_a_change_event_is_answered_without_a_dedup_key(
    sandbox: SandboxProcess, http: Http
) -> None:
    event = {"routing_key": KEY, "payload": {"summary": "deployed"}}
    response = http.post(sandbox.url + CHANGE, json=event)
    assert response.status_code == 202
    assert response.json()["status"] == "success"
    assert "dedup_key" not in response.json()
    assert sandbox.alerts() == []
    assert sandbox.events()[0]["effective"] is True


@pytest.mark.parametrize("path", [V1, V2, CHANGE])
def test_an_invalid_event_is_answered_400_with_its_errors(
    sandbox: SandboxProcess, http: Http, path: str
) -> None:
    response = http.post(sandbox.url + path, data=b"{}")
    assert response.status_code == 400
    assert response.json()["status"] == "invalid event"
    assert response.json()["message"] == "Event object is invalid"
    assert "is missing, it takes" in response.json()["errors"][0]
    assert sandbox.events()[0]["effective"] is False


def test_a_content_type_is_not_needed(sandbox: SandboxProcess, http: Http) -> None:
    body = json.dumps(trigger()).encode()
    assert http.post(sandbox.url + V2, data=body).status_code == 202
    assert sandbox.events()[0]["headers"]["Content-Type"] is None


def test_a_body_over_the_limit_is_refused_and_the_connection_goes_on(
    sandbox: SandboxProcess, http: Http
) -> None:
    event = trigger(custom_details={"text": "x" * 600_000})
    response = http.post(sandbox.url + V2, json=event)
    assert response.status_code == 413
    assert response.json()["errors"]

    def chunks() -> Any:
        yield from (b"x" * 65_536 for _ in range(10))

    assert http.post(sandbox.url + V2, data=chunks()).status_code == 413
    assert http.post(sandbox.url + V2, json=trigger()).status_code == 202


def test_a_body_of_just_the_limit_is_taken(sandbox: SandboxProcess, http: Http) -> None:
    event = trigger(custom_details={"text": ""})
    event["payload"]["custom_details"]["text"] = "x" * (512_000 - len(json.dumps(event)))
    body = json.dumps(event).encode()
    assert len(body) == 512_000
    assert http.post(sandbox.url + V2, data=body).status_code == 202


def test_other_paths_and_methods_are_refused_in_json(sandbox: SandboxProcess, http: Http) -> None:
    assert http.post(sandbox.url + "/v2/enque", json={}).status_code == 404
    response = http.get(sandbox.url + V2)
    assert response.status_code == 405
    assert response.json()["errors"]


def test_the_heartbeat_tells_the_interval(sandbox: SandboxProcess, http: Http) -> None:
    sandbox.behave(heartbeat_interval=60)
    answer = http.post(
        sandbox.url + HEARTBEAT, json={"agent_id": "a"}, headers={"User-Agent": "agent/1"}
    )
    assert (answer.status_code, answer.json()) == (200, {"heartbeat_interval_secs": 60})
    (posted,) = sandbox.heartbeats()
    assert (posted["user_agent"], posted["body"]) == ("agent/1", {"agent_id": "a"})
    assert http.post(sandbox.url + HEARTBEAT, data=b"[]").status_code == 400
    assert sandbox.events() == []


def test_an_alert_goes_from_open_to_resolved_and_the_next_trigger_opens_another(
    sandbox: SandboxProcess, http: Http
) -> None:
    def send(event: dict[str, Any]) -> None:
        assert http.post(sandbox.url + V2, json=event).status_code == 202

    send(trigger(dedup_key="disk"))
    send(trigger(dedup_key="disk", summary="Disk fuller"))
    assert [(a["status"], a["triggers"], a["summary"]) for a in sandbox.alerts()] == [
        ("open", 2, "Disk full")
    ]
    send(action("acknowledge", "disk"))
    assert [alert["status"] for alert in sandbox.alerts()] == ["acknowledged"]
    send(action("resolve", "disk"))
    send(trigger(dedup_key="disk"))
    assert [alert["status"] for alert in sandbox.alerts(rk=KEY)] == ["resolved", "open"]
    assert len(sandbox.alerts(status="resolved")) == 1
    assert sandbox.stats()["alerts"] == {
        "open_now": 1,
        "acknowledged_now": 0,
        "opened": 2,
        "repeated": 1,
        "acknowledged": 1,
        "resolved": 1,
        "dropped": 0,
    }


@pytest.mark.parametrize("name", ["acknowledge", "resolve"])
def test_acknowledge_and_resolve_of_what_is_not_open_are_taken_and_dropped(
    sandbox: SandboxProcess, http: Http, name: str
) -> None:
    http.post(sandbox.url + V2, json=trigger(dedup_key="disk"))
    http.post(sandbox.url + V2, json=action("resolve", "disk"))
    assert http.post(sandbox.url + V2, json=action(name, "disk")).status_code == 202
    assert http.post(sandbox.url + V2, json=action(name, "never seen")).status_code == 202
    assert [event["effective"] for event in sandbox.events()] == [True, True, False, False]
    assert sandbox.stats()["alerts"]["dropped"] == 2


def test_an_alert_is_closed_only_through_the_key_that_opened_it(
    sandbox: SandboxProcess, http: Http
) -> None:
    http.post(sandbox.url + V2, json=trigger(dedup_key="disk"))
    http.post(sandbox.url + V2, json=action("resolve", "disk", key=OTHER_KEY))
    assert [alert["status"] for alert in sandbox.alerts()] == ["open"]


def test_a_v2_event_resolves_what_a_v1_event_opened(sandbox: SandboxProcess, http: Http) -> None:
    http.post(sandbox.url + V1, json=v1_trigger(incident_key="disk"))
    http.post(sandbox.url + V2, json=action("resolve", "disk"))
    assert [alert["status"] for alert in sandbox.alerts()] == ["resolved"]


def test_triggers_without_a_dedup_key_open_an_alert_each(
    sandbox: SandboxProcess, http: Http
) -> None:
    keys = {http.post(sandbox.url + V2, json=trigger()).json()["dedup_key"] for _ in range(3)}
    assert len(keys) == 3
    assert {alert["dedup_key"] for alert in sandbox.alerts()} == keys
    assert {event["dedup_key"] for event in sandbox.events()} == keys


def test_events_are_listed_in_order_of_arrival_with_their_exact_bodies(
    sandbox: SandboxProcess, http: Http
) -> None:
    first, second = trigger(), trigger(key=OTHER_KEY, summary="Größe")
    http.post(sandbox.url + V2, json=first, headers={"User-Agent": "tests/1"})
    http.post(sandbox.url + V2, json=second)
    http.post(sandbox.url + V2, data=b"{nonsense")
    one, two, three = sandbox.events()
    assert [event["n"] for event in (one, two, three)] == [1, 2, 3]
    assert one["at"] <= one["answered_at"] <= two["at"] <= three["at"]
    assert one["path"] == V2
    assert one["headers"] == {"User-Agent": "tests/1", "Content-Type": "application/json"}
    assert (one["routing_key"], one["body"], one["status"]) == (KEY, first, 202)
    assert (two["routing_key"], two["body"]) == (OTHER_KEY, second)
    assert (three["body"], three["raw"], three["status"]) == (None, "{nonsense", 400)
    assert [event["n"] for event in sandbox.events(rk=OTHER_KEY)] == [2]
    assert [event["n"] for event in sandbox.events(since=1)] == [2, 3]


def test_a_reset_forgets_everything_and_behaves_as_at_the_start(
    sandbox: SandboxProcess, http: Http
) -> None:
    http.post(sandbox.url + V2, json=trigger())
    sandbox.behave(fail=500, down=True)
    sandbox.reset()
    assert (sandbox.events(), sandbox.alerts()) == ([], [])
    assert sandbox.stats()["received"]["total"] == 0
    assert http.post(sandbox.url + V2, json=trigger()).status_code == 202
    assert [event["n"] for event in sandbox.events()] == [1]


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://example.com"}, {"Host": "example.com"}, {"Host": ""}]
)
def test_a_web_page_can_not_control_the_sandbox(
    sandbox: SandboxProcess, http: Http, headers: dict[str, str]
) -> None:
    for url in (sandbox.url, sandbox.control_url):
        response = http.get(url + "/sandbox/events", headers=headers)
        assert response.status_code == 403
        assert response.json()["errors"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"fail":"x"}',
        b'{"down":1}',
        b'{"down":true,"down_for":1}',
        b'{"down_for":0}',
        b'{"unknown":1}',
        b'{"fail":500,"latency":-1}',
    ],
)
def test_a_behaviour_that_makes_no_sense_changes_nothing(
    sandbox: SandboxProcess, http: Http, body: bytes
) -> None:
    response = http.post(sandbox.control_url + "/sandbox/behaviour", data=body)
    assert response.status_code == 400
    assert len(response.json()["errors"]) == 1
    assert http.post(sandbox.url + V2, json=trigger()).status_code == 202


def test_since_must_be_a_number(sandbox: SandboxProcess, http: Http) -> None:
    response = http.get(sandbox.control_url + "/sandbox/events?since=x")
    assert response.status_code == 400
