"""An agent that delivers to the sandbox, a real process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent_process import AgentProcess
from tests.sandbox_process import SandboxProcess


@pytest.fixture
def agent(tmp_path: Path, sandbox: SandboxProcess) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path / "agent", sandbox.url) as process:
        yield process
