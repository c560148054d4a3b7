"""A sandbox in PagerDuty's place, and agents in front of it: over HTTP, and over TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent_process import AgentProcess
from tests.clients.tls_agent import TlsAgent
from tests.sandbox_process import SandboxProcess


@pytest.fixture(scope="package")
def running_sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess() as process:
        yield process


@pytest.fixture
def sandbox(running_sandbox: SandboxProcess) -> SandboxProcess:
    running_sandbox.reset()
    return running_sandbox


@pytest.fixture
def agent(tmp_path: Path, sandbox: SandboxProcess) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path / "agent", sandbox.url) as process:
        yield process


@pytest.fixture
def tls_agent(tmp_path: Path, sandbox: SandboxProcess) -> Iterator[TlsAgent]:
    """Set up by `init --tls`, and trusted by nobody who wasn't told to."""
    with TlsAgent(tmp_path / "agent", sandbox.url, max_queue_length=3) as process:
        yield process
