"""Real agents, whose PagerDuty can't be reached: what they take, they keep."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.agent_process import AgentProcess


@pytest.fixture(scope="package")
def nowhere() -> str:
    """The URL of a PagerDuty that refuses connections."""
    return "http://127.0.0.1:9"


@pytest.fixture(scope="package")
def running_agent(tmp_path_factory: pytest.TempPathFactory, nowhere: str) -> Iterator[AgentProcess]:
    directory = tmp_path_factory.mktemp("httpapi") / "agent"
    with AgentProcess(directory, nowhere, max_queue_length=50) as process:
        yield process


@pytest.fixture
def agent(running_agent: AgentProcess) -> Iterator[AgentProcess]:
    """An agent that other tests use as well; it must not have failed in any of them."""
    yield running_agent
    assert running_agent.is_healthy()
    assert "Traceback" not in running_agent.log()
