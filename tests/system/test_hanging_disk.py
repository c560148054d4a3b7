"""An agent whose disk does not answer is not ready, though it lives, and recovers."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.agent_process import AgentProcess
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import trigger

KEY = "h4ng1ngd" * 4


class Hanging(AgentProcess):
    """Its commits wait while there is a file `hang` in its home."""

    def command(self, *arguments: str) -> list[str]:
        """The command line."""
        whole = super().command(*arguments)
        return [sys.executable, "-m", "tests.system.faulty_agent", "hang", *whole[3:]]


def test_a_disk_that_does_not_answer_makes_the_agent_unready(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    hang = tmp_path / "hang"
    with Hanging(tmp_path, sandbox.url) as agent, ThreadPoolExecutor(1) as pool:
        agent.send_v2(trigger(KEY, 1)).raise_for_status()
        agent.wait_until_drained()
        hang.touch()
        answer = pool.submit(agent.send_v2, trigger(KEY, 2))
        try:
            agent.wait_for(lambda: not agent.is_healthy(), "it is not ready")
            for path in ("/health", "/health/ready"):
                [why] = agent.get(path).json()["errors"]
                assert "disk does not answer" in why
            assert agent.get("/health/live").status_code == 200
            assert agent.status()["agent"]["trouble"] == [why]
            assert "pdagent_ready 0" in agent.get("/metrics").text
        finally:
            hang.unlink()
        assert answer.result(30).status_code == 200
        agent.wait_for(agent.is_healthy, "it is ready again")
