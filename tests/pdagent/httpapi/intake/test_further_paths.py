"""PagerDuty's further paths: the key in the path, and the forms of pagerduty_nagios.pl."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from tests.agent_process import AgentProcess
from tests.pdagent.httpapi.sample_events import new_key, trigger
from tests.sandbox_process import SandboxProcess

SUCCESS = {"status": "success", "message": "Event processed"}
PROBLEM = {
    "NOTIFICATIONTYPE": "PROBLEM",
    "pd_nagios_object": "service",
    "HOSTNAME": "db1",
    "HOSTSTATE": "UP",
    "SERVICEDESC": "Disk / Größe",
    "SERVICESTATE": "CRITICAL",
    "SERVICEOUTPUT": "DISK CRITICAL - free space: 3%",
    "NAGIOS_SERVER": "nagios1",
    "pd_version": "1.0",
}
INCIDENT = "event_source=service;host_name=db1;service_desc=Disk / Größe"


@pytest.fixture(scope="module")
def running_agent(
    tmp_path_factory: pytest.TempPathFactory, running_sandbox: SandboxProcess
) -> Iterator[AgentProcess]:
    directory = tmp_path_factory.mktemp("further")
    with AgentProcess(directory, running_sandbox.url, max_queue_length=20) as process:
        yield process


def post(agent: AgentProcess, path: str, body: Any) -> requests.Response:
    agent.credentials.note_keys_in(path, str(body))
    return agent.session().post(f"{agent.url}{path}", data=body, timeout=30)


def post_form(agent: AgentProcess, **fields: str) -> requests.Response:
    return post(agent, "/nagios/2010-04-15/create_event", fields)


def received(agent: AgentProcess, sandbox: SandboxProcess) -> dict[str, Any]:
    agent.wait_for(sandbox.events, "a delivery")
    (event,) = sandbox.events()
    body: dict[str, Any] = event["body"]
    return body


@pytest.mark.parametrize("inside", [None, "", "0" * 32], ids=["no", "empty", "another"])
def test_the_key_of_the_path_counts(
    agent: AgentProcess, sandbox: SandboxProcess, inside: str | None
) -> None:
    key = new_key()
    event = {**trigger(), "routing_key": inside, "dedup_key": "d"}
    if inside is None:
        del event["routing_key"]
    answer = post(agent, f"/integration/{key}/enqueue", json.dumps(event))
    assert (answer.status_code, answer.json()) == (202, {**SUCCESS, "dedup_key": "d"})
    assert received(agent, sandbox)["routing_key"] == key


def test_a_key_in_the_path_stands_nowhere(agent: AgentProcess, sandbox: SandboxProcess) -> None:
    key = new_key()
    paths = (f"/integration/{key}/enqueue", f"/integration/{key}x/enqueue", f"/integration/{key}")
    answers = [
        post(agent, path, body) for path in paths for body in ("{}", "{", json.dumps(trigger()))
    ]
    answers += [agent.get(path) for path in paths]
    texts = [answer.text for answer in answers]
    assert {answer.status_code for answer in answers} == {202, 400, 404, 405}
    sandbox.wait_for_events(1)
    assert not any(key in text for text in [*texts, agent.log(), agent.get("/metrics").text])


@pytest.mark.parametrize(
    ("changes", "event_type"),
    [
        ({}, "trigger"),
        ({"NOTIFICATIONTYPE": "ACKNOWLEDGEMENT"}, "acknowledge"),
        ({"NOTIFICATIONTYPE": "RECOVERY", "SERVICESTATE": "OK"}, "resolve"),
        ({"NOTIFICATIONTYPE": "FLAPPINGSTOP", "SERVICESTATE": "OK"}, "resolve"),
        ({"NOTIFICATIONTYPE": "", "pd_nagios_object": ""}, "trigger"),
    ],
)
def test_a_form_becomes_the_event_of_pd_nagios(
    agent: AgentProcess, sandbox: SandboxProcess, changes: dict[str, str], event_type: str
) -> None:
    key, fields = new_key(), PROBLEM | changes
    answer = post_form(agent, CONTACTPAGER=key, **fields)
    assert (answer.status_code, answer.json()) == (200, {**SUCCESS, "incident_key": INCIDENT})
    event = received(agent, sandbox)
    assert event.pop("agent")["queued_by"] == "pd-nagios"
    state = fields["SERVICESTATE"]
    assert event == {
        "service_key": key,
        "event_type": event_type,
        "incident_key": INCIDENT,
        "description": f"SERVICEDESC=Disk / Größe; SERVICESTATE={state}; HOSTNAME=db1",
        "details": fields | {"pd_nagios_object": "service"},
    }


def test_a_host_latin_1_and_a_sign_that_forms_escape(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    host = {"HOSTNAME": "größe+&=1", "HOSTSTATE": "DOWN", "NOTIFICATIONTYPE": "PROBLEM"}
    form = urlencode({"CONTACTPAGER": new_key(), **host}, encoding="latin-1")
    assert post(agent, "/nagios/2010-04-15/create_event", form).status_code == 200
    event = received(agent, sandbox)
    assert event["incident_key"] == "event_source=host;host_name=größe+&=1"
    assert event["details"] == {**host, "pd_nagios_object": "host"}


def test_a_notification_that_needs_no_event_is_taken_and_not_stored(agent: AgentProcess) -> None:
    before = agent.totals()["accepted"]
    fields = PROBLEM | {"NOTIFICATIONTYPE": "DOWNTIMESTART"}
    answer = post_form(agent, CONTACTPAGER=new_key(), **fields)
    assert (answer.status_code, answer.json()["status"]) == (200, "success")
    assert agent.totals()["accepted"] == before


@pytest.mark.parametrize(
    ("form", "named"),
    [
        (PROBLEM, "CONTACTPAGER: is empty"),
        (PROBLEM | {"CONTACTPAGER": "short"}, "CONTACTPAGER: is not 32 letters and digits"),
        ({"CONTACTPAGER": "0" * 32, "HOSTNAME": "db1"}, "HOSTSTATE"),
        (b"", "HOSTNAME"),
        (b"{}", "HOSTNAME"),
        (b"a=b&" * 2_000, "fields"),
        (b"\xff%ff%&=;", "HOSTNAME"),
    ],
)
def test_a_form_that_is_no_notification_is_refused(
    agent: AgentProcess, form: Any, named: str
) -> None:
    answer = post(agent, "/nagios/2010-04-15/create_event", form)
    assert (answer.status_code, answer.json()["status"]) == (400, "invalid event")
    assert named in answer.json()["errors"][0]


def test_a_full_queue_tells_the_script_to_keep_its_event(agent: AgentProcess) -> None:
    key = new_key()
    assert post_form(agent, CONTACTPAGER=key, **PROBLEM).status_code == 200
    agent.post("/queue/hold", params={"rk": key}).raise_for_status()
    refused = None
    for number in range(30):
        fields = PROBLEM | {"HOSTNAME": f"db{number}"}
        answer = post_form(agent, CONTACTPAGER=key, **fields)
        if answer.status_code != 200:
            refused = answer
    assert refused is not None
    assert (refused.status_code, refused.json()["status"]) == (403, "throttle exceeded")
    assert "retry later" in refused.text
    assert "invalid event" not in refused.text
