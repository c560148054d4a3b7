"""The journal's directory is moved or deleted while the agent runs: what is said, and what is not.

Events could still be written then, into a file that no restart would find.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.agent_process import AgentProcess
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import key_number, numbers_by_key, trigger

KEY = key_number(1)


@pytest.fixture
def agent(tmp_path: Path, sandbox: SandboxProcess) -> Iterator[AgentProcess]:
    """An agent with an event that waits for PagerDuty."""
    sandbox.behave(down=True)
    with AgentProcess(tmp_path / "agent", sandbox.url) as agent:
        agent.send_v2(trigger(KEY, 0)).raise_for_status()
        yield agent


def assert_refused(answer: requests.Response, agent: AgentProcess) -> None:
    assert answer.status_code == 503, answer.text
    [error] = answer.json()["errors"]
    assert f"{agent.journal} was moved or deleted while the agent runs" in error
    assert answer.headers["Retry-After"] == "30"


def test_moved_away_it_takes_no_event_until_it_is_back(
    agent: AgentProcess, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    agent.journal.rename(tmp_path / "elsewhere")
    # At once, before the agent has looked by itself; and again, when it knows.
    for number in (100, 101):
        assert_refused(agent.send_v2(trigger(KEY, number)), agent)
    assert agent.get("/health").status_code == 503
    (tmp_path / "elsewhere").rename(agent.journal)
    agent.wait_for(agent.is_healthy, "it is found again")
    agent.send_v2(trigger(KEY, 1)).raise_for_status()
    agent.kill()
    sandbox.behave(down=False)
    agent.start()
    agent.wait_until_drained()
    assert numbers_by_key(sandbox.events()) == {KEY: [0, 1]}
    assert agent.totals()["accepted"] == 2


def test_deleted_it_is_noticed_without_a_request_and_what_waits_is_delivered(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    shutil.rmtree(agent.journal)
    agent.wait_for(lambda: agent.get("/health").status_code == 503, "health says so")
    assert_refused(agent.send_v2(trigger(KEY, 100)), agent)
    sandbox.behave(down=False)
    agent.wait_until_drained()
    assert numbers_by_key(sandbox.events()) == {KEY: [0]}
    assert agent.totals()["accepted"] == 1
    assert "pagerduty-agent help journal-that-is-moved" in agent.cli("health").stderr
    assert agent.stop() == 0
    agent.start()
    agent.send_v2(trigger(KEY, 1)).raise_for_status()
    agent.wait_until_drained()
    assert numbers_by_key(sandbox.events()) == {KEY: [0, 1]}


def test_another_journal_in_its_place_is_not_taken_for_it(
    agent: AgentProcess, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(agent.journal, copy)
    agent.journal.rename(tmp_path / "elsewhere")
    copy.rename(agent.journal)
    assert_refused(agent.send_v2(trigger(KEY, 100)), agent)
