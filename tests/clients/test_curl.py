"""curl with the examples of PagerDuty's documentation, as docs/clients/curl.md has them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.agent_process import AgentProcess
from tests.clients.documented import blocks, pointed_at
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")

TRIGGER, ACKNOWLEDGE, RESOLVE, CHANGE, V1, REPEATED, BATCH = range(7)


def run(number: int, agent: AgentProcess, directory: Path) -> list[Any]:
    """Run a command of the page against `agent`; the lines of its answer."""
    command = pointed_at(blocks("curl", "sh")[number], agent.address)
    done = subprocess.run(
        ["/bin/sh", "-c", re.sub("^curl ", "curl --silent --show-error ", command)],
        env={"PATH": os.environ["PATH"], "HOME": str(directory), "SECRET": agent.secret},
        cwd=directory,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def sent(number: int) -> dict[str, Any]:
    """The event in a command of the page."""
    words = shlex.split(blocks("curl", "sh")[number])
    flag = "--data-raw" if "--data-raw" in words else "-d"
    event: dict[str, Any] = json.loads(words[words.index(flag) + 1])
    return event


def test_the_examples_of_v2_work_and_arrive_as_they_are(
    agent: AgentProcess, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    expected = {"status": "success", "message": "Event processed"}
    for number in (TRIGGER, ACKNOWLEDGE, RESOLVE):
        assert run(number, agent, tmp_path) == [expected | {"dedup_key": "prod-datapipe03/disk"}]
    assert run(CHANGE, agent, tmp_path) == [expected]
    arrived = sandbox.wait_for_events(4)
    for number, event in zip((TRIGGER, ACKNOWLEDGE, RESOLVE, CHANGE), arrived, strict=True):
        assert event["body"] == sent(number)
        assert list(event["body"]) == list(sent(number))
    assert [alert["status"] for alert in sandbox.alerts()] == ["resolved"]


def test_the_example_of_v1_works_and_gains_only_its_agent(
    agent: AgentProcess, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    [answer] = run(V1, agent, tmp_path)
    assert answer == {
        "status": "success",
        "message": "Event processed",
        "incident_key": "srv01/HTTP",
    }
    [event] = sandbox.wait_for_events(1)
    assert event["body"].pop("agent")["queued_by"] == "curl"
    assert event["body"] == sent(V1)


def test_a_script_may_repeat_itself(
    agent: AgentProcess, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    first, second = (run(REPEATED, agent, tmp_path) for _ in range(2))
    assert first == second
    sandbox.wait_for_events(1)
    agent.wait_until_drained()
    assert len(sandbox.events()) == 1


def test_a_file_of_events_goes_in_one_request(
    agent: AgentProcess, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    events = [sent(TRIGGER), sent(V1), sent(CHANGE)]
    (tmp_path / "events.ndjson").write_text("".join(json.dumps(event) + "\n" for event in events))
    results = run(BATCH, agent, tmp_path)
    assert [(result["line"], "key" in result) for result in results] == [
        (1, True),
        (2, True),
        (3, True),
    ]
    assert [event["kind"] for event in sandbox.wait_for_events(3)] == ["v2", "v1", "change"]
