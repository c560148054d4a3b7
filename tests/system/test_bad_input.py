"""Bad input: one clear line or a JSON error with the right status, and nothing is queued."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.agent_process import AgentProcess
from tests.free_ports import free_port
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import KEY, trigger

V1_PATH = "/generic/2010-04-15/create_event.json"


@pytest.fixture(scope="module")
def running_agent(
    tmp_path_factory: pytest.TempPathFactory, running_sandbox: SandboxProcess
) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path_factory.mktemp("agent"), running_sandbox.url) as process:
        yield process


@pytest.fixture
def agent(running_agent: AgentProcess, sandbox: SandboxProcess) -> Iterator[AgentProcess]:
    """One agent for all tests here: each of them leaves it as it was, with nothing queued."""
    yield running_agent
    assert running_agent.totals()["accepted"] == 0
    assert running_agent.status()["queues"] == []
    assert sandbox.events() == []
    assert "Traceback" not in running_agent.log()


def changed(event: dict[str, Any], *path: str, to: object = None) -> dict[str, Any]:
    """`event` with one field changed, or removed when `to` is None."""
    inner = event
    for name in path[:-1]:
        inner = inner[name]
    inner.pop(path[-1])
    if to is not None:
        inner[path[-1]] = to
    return event


def v1_trigger() -> dict[str, Any]:
    return {"service_key": KEY, "event_type": "trigger", "description": "Disk full"}


def one_error(response: requests.Response, status: int) -> str:
    """The error of an answer in the agent's own shape, which must be the only one."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"].startswith("application/json")
    body = response.json()
    assert list(body) == ["errors"]
    [error] = body["errors"]
    assert isinstance(error, str)
    assert error
    assert KEY not in response.text
    return error


def one_line(agent: AgentProcess, status: int, *arguments: str) -> str:
    """What a command says on failing, which must be one line on standard error."""
    done = agent.cli(*arguments)
    assert (done.returncode, done.stdout) == (status, ""), done
    [line] = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert agent.secret not in line
    return line.removeprefix("error: ")


# Some of each kind: tests/pdagent/events has all of them.
BAD_V2 = [
    (b"{", "JSON"),
    (b"", "JSON"),
    (b'["a list"]', "object"),
    (changed(trigger(), "routing_key"), "routing_key: is missing"),
    (changed(trigger(), "payload", "severity", to="bad"), "critical"),
    (changed(trigger(), "event_action", to="resolve"), "dedup_key: is missing"),
]
BAD_V1 = [
    (b"not json", "JSON"),
    (changed(v1_trigger(), "service_key", to="too-short"), "32 letters and digits"),
    (changed(v1_trigger(), "event_type", to="acknowledge"), "incident_key: is missing"),
]


@pytest.mark.parametrize(("event", "reason"), BAD_V2)
def test_an_invalid_v2_event_is_a_400_that_names_the_mistake(
    event: object, reason: str, agent: AgentProcess
) -> None:
    assert reason in one_error(agent.send_v2(event), 400)


@pytest.mark.parametrize(("event", "reason"), BAD_V1)
def test_an_invalid_v1_event_is_a_400_that_names_the_mistake(
    event: object, reason: str, agent: AgentProcess
) -> None:
    assert reason in one_error(agent.send_v1(event), 400)


def test_every_mistake_of_an_event_is_named_at_once(agent: AgentProcess) -> None:
    response = agent.send_v2({"event_action": "trigger", "payload": {"severity": "bad"}})
    assert response.status_code == 400
    named = {error.split(":")[0] for error in response.json()["errors"]}
    assert named == {"routing_key", "payload.summary", "payload.source", "payload.severity"}


@pytest.mark.parametrize("path", ["/v2/enqueue", "/v2/change/enqueue", V1_PATH])
def test_on_pagerdutys_own_paths_an_invalid_event_gets_pagerdutys_own_answer(
    path: str, agent: AgentProcess
) -> None:
    for body in (b"{", b"{}"):
        response = agent.session().post(agent.url + path, data=body, timeout=20)
        assert response.status_code == 400
        answer = response.json()
        assert answer.keys() == {"status", "message", "errors"}
        assert (answer["status"], bool(answer["errors"])) == ("invalid event", True)


@pytest.mark.parametrize("authorization", [None, "token wrong", "Bearer wrong", "token ", "wrong"])
def test_a_wrong_or_missing_secret_is_a_401(authorization: str, agent: AgentProcess) -> None:
    error = one_error(agent.send_v2(trigger(), Authorization=authorization), 401)
    assert "secret" in error
    for path in ("/status", "/queue/status"):
        one_error(agent.get(path, headers={"Authorization": authorization}), 401)
    one_error(agent.post("/queue/retry", headers={"Authorization": authorization}), 401)


def test_a_missing_or_unknown_event_version_is_a_400(agent: AgentProcess) -> None:
    for version in (None, "v3"):
        response = agent.send_v2(trigger(), **{"Pd-Event-Version": version})  # type: ignore[arg-type]
        assert "Pd-Event-Version" in one_error(response, 400)


def test_an_event_that_is_too_large_is_a_413(agent: AgentProcess) -> None:
    event = trigger()
    event["payload"]["custom_details"]["text"] = "x" * 512_000
    assert "512000 bytes" in one_error(agent.send_v2(event), 413)


def test_unknown_paths_and_methods_are_json_errors_too(agent: AgentProcess) -> None:
    one_error(agent.get("/no/such/path"), 404)
    one_error(agent.get("/send"), 405)


SEND = ("send", "-k", KEY, "-t", "trigger", "-d", "Disk full")


def test_an_event_that_the_agent_refuses_is_one_line_and_exit_status_2(agent: AgentProcess) -> None:
    for arguments, reason in (
        (("send", "-k", KEY, "-t", "trigger"), "is missing"),
        (("send", "-k", KEY, "-t", "resolve"), "is missing"),
        (("send", "-k", "too-short", *SEND[3:]), "32 letters and digits"),
        (("enqueue", *SEND[1:]), "is missing"),
    ):
        assert reason in one_line(agent, 2, *arguments)


def test_a_wrong_secret_is_one_line(agent: AgentProcess) -> None:
    for command in (SEND, ("status",), ("queue", "status"), ("queue", "retry", "--all")):
        assert "secret" in one_line(agent, 1, "--secret", "wrong", *command)


def test_an_agent_that_is_not_there_is_one_line_and_exit_status_69(agent: AgentProcess) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    for command in (SEND, ("status",), ("queue", "status"), ("health",)):
        line = one_line(agent, 69, "--address", nobody, *command)
        assert f"no agent answers at {nobody} (connection refused): " in line
        assert command is not SEND or "nothing was stored" in line


def test_a_second_server_is_refused_with_the_pid_of_the_first(
    agent: AgentProcess, tmp_path: Path
) -> None:
    line = one_line(agent, 1, "server")
    assert "running already" in line
    assert str(agent.pid) in line
    # Under another pidfile, the lock on the journal says the same.
    line = one_line(agent, 1, "--pidfile", str(tmp_path / "pidfile"), "server")
    assert str(agent.journal) in line
    assert str(agent.pid) in line
    # With another journal as well, the address is taken.
    elsewhere = ("server", "--database", str(tmp_path / "journal"))
    line = one_line(agent, 1, "--pidfile", str(tmp_path / "pidfile"), *elsewhere)
    assert f"can't listen on {agent.address} (Address already in use): stop" in line
    assert agent.is_healthy()
    assert agent.pidfile.read_text() == f"{agent.pid}"
