"""An agent and a sandbox that all these tests use, one after the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.agent_process import AgentProcess
from tests.pdagent.httpapi.operators.asking import NAMED, OTHER, event, sent
from tests.sandbox_process import SandboxProcess


@pytest.fixture(scope="package")
def running(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[AgentProcess, SandboxProcess]]:
    directory = tmp_path_factory.mktemp("operators") / "agent"
    with (
        SandboxProcess() as sandbox,
        AgentProcess(directory, sandbox.url, routing_keys={"database": NAMED}) as agent,
    ):
        # Lists are in the order in which queues came to be.
        for key in (NAMED, OTHER):
            sent(agent, event(key, "first", "resolve"))
        agent.wait_until_drained()
        yield agent, sandbox


@pytest.fixture
def sandbox(running: tuple[AgentProcess, SandboxProcess]) -> SandboxProcess:
    running[1].reset()
    return running[1]


@pytest.fixture
def agent(
    running: tuple[AgentProcess, SandboxProcess], sandbox: SandboxProcess
) -> Iterator[AgentProcess]:
    """An agent in which nothing waits and nothing is dead."""
    agent = running[0]
    yield agent
    sandbox.behave(fail=None, hang_key=[])
    for key in (NAMED, OTHER):
        agent.post("/queue/release", params={"rk": key})
        agent.post("/queue/discard", params={"rk": key}).raise_for_status()
    agent.wait_until_drained()
    assert "Traceback" not in agent.log()
