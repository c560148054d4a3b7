"""An agent with little to do has few threads, however many deliveries it may have under way."""

from __future__ import annotations

from pathlib import Path

from tests.agent_process import AgentProcess
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import trigger

IDLE = 8
"""The event loop, the log, Supervisor, Janitor, two dispatchers, and one or two to spare."""


def test_an_idle_agent_has_few_threads_and_one_sender_delivers_one_key(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    with AgentProcess(tmp_path / "agent", sandbox.url, max_in_flight=64) as agent:
        tasks = Path(f"/proc/{agent.pid}/task")
        idle = len(list(tasks.iterdir()))
        assert idle <= IDLE
        for number in range(20):
            agent.send_v2(trigger(number=number)).raise_for_status()
        agent.wait_until_drained()
        assert len(list(tasks.iterdir())) <= idle + 2
