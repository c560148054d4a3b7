"""A sandbox in PagerDuty's place, and agents in front of it: over HTTP, and over TLS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.agent_process import AgentProcess
from tests.clients.tls_agent import TlsAgent
from tests.sandbox_process import SandboxProcess


@pytest.fixture(scope="module")
def running_agent(
    tmp_path_factory: pytest.TempPathFactory, running_sandbox: SandboxProcess
) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path_factory.mktemp("clients"), running_sandbox.url) as process:
        yield process


@pytest.fixture
def agent(running_agent: AgentProcess, sandbox: SandboxProcess) -> Iterator[AgentProcess]:
    """One agent for the tests of a file; each leaves it with nothing waiting."""
    yield running_agent
    sandbox.behave(down=False)
    running_agent.wait_until_drained()


@pytest.fixture(scope="module")
def running_tls_agent(
    tmp_path_factory: pytest.TempPathFactory, running_sandbox: SandboxProcess
) -> Iterator[TlsAgent]:
    directory = tmp_path_factory.mktemp("clients")
    with TlsAgent(directory, running_sandbox.url, max_queue_length=3) as process:
        yield process


@pytest.fixture
def tls_agent(running_tls_agent: TlsAgent, sandbox: SandboxProcess) -> Iterator[TlsAgent]:
    """Set up by `init --tls`, and trusted by nobody who wasn't told to; shared like `agent`."""
    yield running_tls_agent
    sandbox.behave(down=False)
    running_tls_agent.wait_until_drained()
