"""What a new user does first: the original agent's example, and a server without any config."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.agent_process import AgentProcess
from tests.free_ports import free_port
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import KEY

EXAMPLE = (
    "send -k v4g5q7yie1qee1yio2uimz8yfbjenvj9 -t trigger "
    '-d "This is a test event" -c "PagerDuty Test" -u "http://pagerduty.com" '
    "-f some_field=some_value"
)
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


@pytest.mark.parametrize("program", ["pagerduty-agent", "pdagent"])
def test_the_original_agents_example_arrives_exactly(
    program: str, agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    script = Path(sys.executable).with_name(program)
    if not script.exists():
        pytest.skip(f"{program} is not installed in this environment: 'make test' installs it")
    before = datetime.now(UTC)
    done = subprocess.run(
        [script, *shlex.split(EXAMPLE)],
        env=agent.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = re.fullmatch(rf"Event processed\. Incident Key: ({UUID})\n", done.stdout)
    assert said is not None, done.stdout

    [event] = sandbox.wait_for_events(1)
    assert event["path"] == "/generic/2010-04-15/create_event.json"
    assert event["headers"]["Content-Type"] == "application/json"
    assert event["status"] == 200
    body = event["body"]
    stamp = body.pop("agent")
    assert body == {
        "service_key": KEY,
        "event_type": "trigger",
        "description": "This is a test event",
        "client": "PagerDuty Test",
        "client_url": "http://pagerduty.com",
        "details": {"some_field": "some_value"},
        "incident_key": said[1],
    }
    assert stamp.keys() == {"queued_by", "queued_at", "agent_id"}
    assert stamp["queued_by"] == "pagerduty-agent"
    assert stamp["agent_id"] == agent.status()["agent"]["agent_id"]
    queued_at = datetime.fromisoformat(stamp["queued_at"])
    assert before - timedelta(seconds=1) < queued_at < datetime.now(UTC)


def test_a_first_server_writes_a_config_as_init_does_and_says_so(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    agent = AgentProcess(tmp_path / "agent", sandbox.url)
    config = agent.config
    config.unlink()
    inited = subprocess.run(
        [sys.executable, "-m", "pdagent", "init"],
        env={**agent.environment(), "HOME": str(tmp_path)},
        check=True,
        capture_output=True,
    )
    assert inited.returncode == 0

    address = f"127.0.0.1:{free_port()}"
    environment = {
        **agent.environment(),
        "PAGERDUTY_AGENT_ADDRESS": address,
        "PAGERDUTY_AGENT_EVENTS_URL": sandbox.url,
        "PAGERDUTY_AGENT_API_URL": sandbox.url,
    }
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "pdagent", "server"], env=environment, stderr=log
        )
    try:
        # Without any option but the environment, the commands find config, secret and agent.
        def command(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-m", "pdagent", *arguments],
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )

        agent.wait_for(lambda: command("health").stdout == "OK\n", "the agent is healthy")
        said = (tmp_path / "log").read_text()
        assert f"note: there was no config file: wrote {config} with a new secret\n" in said
        assert config.stat().st_mode & 0o777 == 0o600
        assert _without_secret(config) == _without_secret(tmp_path / ".pagerduty-agent.yaml")
        assert command("send", "-k", KEY, "-t", "trigger", "-d", "Disk full").returncode == 0
        sandbox.wait_for_events(1)
        assert command("server", "stop").returncode == 0
        assert server.wait(10) == 0
    finally:
        server.kill()
        server.wait()


def _without_secret(config: Path) -> str:
    text, secrets = re.subn(r"(?m)^secret: \S{32,}$", "secret:", config.read_text())
    assert secrets == 1
    return text
