"""What the agent says of events when it can't tell in time whether they are on disk.

In all of these tests they are.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from pdagent.spool import SpooledEvent, put
from tests.sandbox_process import SandboxProcess
from tests.system.faulty_agent import FaultyAgent
from tests.system.numbered_events import KEY, trigger

ADVICE = "may have been stored: repeat with the same Idempotency-Key or dedup key"
SENT = {
    "/v2/enqueue": trigger(),
    "/v2/change/enqueue": {"routing_key": KEY, "payload": {"summary": "deployed"}},
    "/generic/2010-04-15/create_event.json": {
        "service_key": KEY,
        "event_type": "trigger",
        "description": "disk full",
    },
    "/send": trigger(),
}


def faulty(directory: Path, sandbox: SandboxProcess, fault: str, **settings: object) -> FaultyAgent:
    agent = FaultyAgent(directory / "agent", sandbox.url, **settings)
    agent.fault = fault
    agent.env["PDAGENT_FAULT_TIMES"] = "1"
    return agent


@pytest.fixture(params=["commit", "slow commit"])
def agent(
    request: pytest.FixtureRequest, tmp_path: Path, sandbox: SandboxProcess
) -> Iterator[FaultyAgent]:
    with faulty(tmp_path, sandbox, request.param) as process:
        yield process


def delivered_once(agent: FaultyAgent, sandbox: SandboxProcess) -> dict[str, Any]:
    agent.wait_for(lambda: agent.totals()["delivered"] == 1, "it is delivered")
    assert agent.totals()["accepted"] == 1
    (event,) = sandbox.events()
    body: dict[str, Any] = event["body"]
    return body


def assert_uncertain(answer: requests.Response) -> None:
    assert answer.status_code == 503
    assert answer.json()["may_have_been_stored"] is True
    assert ADVICE in answer.json()["errors"][0]
    assert "retry later" in answer.json()["errors"][0]
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("agent", "path"),
    list(zip(["commit", "slow commit"] * 2, SENT, strict=True)),
    indirect=["agent"],
)
def test_an_event_that_may_have_been_stored_is_answered_so_and_may_be_repeated(
    agent: FaultyAgent, sandbox: SandboxProcess, path: str
) -> None:
    def send() -> requests.Response:
        headers = {"Idempotency-Key": "once", "Pd-Event-Version": "v2"}
        return agent.post(path, json=SENT[path], headers=headers)

    assert_uncertain(send())
    agent.wait_for(lambda: send().ok, "a receipt")
    delivered_once(agent, sandbox)


def test_lines_of_a_batch_are_answered_alike_and_those_behind_them_are_not_stored(
    agent: FaultyAgent,
) -> None:
    body = b"".join(json.dumps(trigger(number=n)).encode() + b"\n" for n in range(700))
    answer = agent.post("/send/batch", data=body, headers={"Idempotency-Key": "once"})
    results = [json.loads(line) for line in answer.text.splitlines()]
    assert {result["status"] for result in results} == {503}
    assert all("retry later" in result["errors"][0] for result in results)
    uncertain = [result.get("may_have_been_stored", False) for result in results]
    assert uncertain == sorted(uncertain, reverse=True)
    assert set(uncertain) == {True, False}
    assert ADVICE in results[0]["errors"][0]
    assert ADVICE not in results[-1]["errors"][0]
    agent.wait_for(lambda: agent.totals()["accepted"] == sum(uncertain), "these are stored")


@pytest.mark.parametrize(
    ("agent", "command"),
    [
        ("commit", "send"),
        ("slow commit", "change"),
        ("commit", "batch"),
        ("slow commit", "batch"),
    ],
    indirect=["agent"],
)
def test_a_command_repeats_with_a_key_of_its_own_until_it_knows(
    agent: FaultyAgent, sandbox: SandboxProcess, tmp_path: Path, command: str
) -> None:
    file = tmp_path / "events.ndjson"
    file.write_text(json.dumps(trigger()) + "\n")
    given = {
        "send": ("send", "-k", KEY, "-t", "trigger", "-d", "Disk full"),
        "change": ("change", "-k", KEY, "-d", "deployed"),
        "batch": ("enqueue", "--batch", str(file)),
    }
    done = agent.cli(*given[command], "--json")
    assert (done.returncode, done.stderr) == (0, "")
    body, receipt = delivered_once(agent, sandbox), json.loads(done.stdout)
    for name in ("incident_key", "dedup_key"):
        assert receipt.get(name) == body.get(name)


def test_a_spooled_event_is_taken_in_once(tmp_path: Path, sandbox: SandboxProcess) -> None:
    folder = tmp_path / "spool"
    body = json.dumps(trigger()).encode()
    put(folder, SpooledEvent(kind="v2", body=body, idempotency_key="once"))
    with faulty(tmp_path, sandbox, "commit", spool=folder) as agent:
        agent.wait_for(lambda: not list(folder.iterdir()), "an empty spool")
        delivered_once(agent, sandbox)


def test_another_event_that_was_spooled_under_a_used_key_is_kept_and_the_first_one_named(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    folder = tmp_path / "spool"
    for number in range(2):
        body = json.dumps(trigger(number=number)).encode()
        put(folder, SpooledEvent(kind="v2", body=body, idempotency_key="once"))
    with FaultyAgent(tmp_path / "agent", sandbox.url, spool=folder) as agent:
        delivered_once(agent, sandbox)
        agent.wait_for(lambda: len(list(folder.iterdir())) == 1, "both files are dealt with")
        (kept,) = folder.iterdir()
        assert kept.suffix == ".refused"
        agent.wait_for(lambda: f"kept as {kept.name}" in agent.log(), "the log tells of it")
        agent.wait_until_recorded(KEY)
        (shown,) = agent.get("/queue/events", params={"state": "delivered"}).json()["events"]
        assert shown["id"] in agent.log()


def test_a_stop_while_a_commit_is_under_way_says_so(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    answers: list[requests.Response] = []
    with faulty(tmp_path, sandbox, "endless commit") as agent:
        sender = threading.Thread(
            target=lambda: answers.append(agent.post("/v2/enqueue", json=trigger()))
        )
        sender.start()
        agent.wait_for(lambda: agent.totals()["accepted"] == 1, "it is with the actors")
        agent.signal(signal.SIGTERM)
        sender.join(20)
        (answer,) = answers
    assert_uncertain(answer)
    assert answer.json()["status"] == "service unavailable"
    assert "the agent is stopping" in answer.json()["message"]
