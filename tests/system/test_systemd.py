"""What the agent tells systemd, over a real socket; and the unit that `init --system` installs."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.agent_process import REPOSITORY, AgentProcess
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import trigger

INSTALLATION = REPOSITORY / "pdagent" / "installation"
UNIT = INSTALLATION / "pagerduty-agent.service"
UNITS = sorted(INSTALLATION.glob("*.service"))
_TIME_LIMIT = 30.0


class Manager:
    """Listens as systemd does at `$NOTIFY_SOCKET`; `told` is what has arrived, in order."""

    def __init__(self, address: str) -> None:
        self.told: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.settimeout(0.05)

    def close(self) -> None:
        self._socket.close()

    def listen(self) -> None:
        """Take what is there, waiting a moment for it."""
        try:
            while True:
                self.told += self._socket.recv(65536).decode().split("\n")
        except TimeoutError:
            return

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Listen until `condition()` is true; AssertionError naming `what`."""
        deadline = time.monotonic() + _TIME_LIMIT
        while not condition():
            self.listen()
            assert time.monotonic() < deadline, f"not told: {what}; but {self.told}"

    def wait_for(self, assignment: str) -> None:
        """Listen until exactly this has been told."""
        self.wait_until(lambda: assignment in self.told, assignment)

    def pats(self) -> int:
        """How often the watchdog was patted."""
        self.listen()
        return self.told.count("WATCHDOG=1")


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    # The path of a socket has at most 107 bytes; a test's directory may be deeper.
    path = str(tmp_path / "notify")
    if request.param == "path" and len(path) < 100:
        return path
    return f"@{os.urandom(8).hex()}"


@pytest.fixture
def manager(address: str) -> Iterator[Manager]:
    manager = Manager(address)
    yield manager
    manager.close()


def agent_of(directory: Path, url: str, address: str, **env: str) -> AgentProcess:
    agent = AgentProcess(directory / "agent", url)
    agent.env = {"NOTIFY_SOCKET": address, **env}
    return agent


def test_it_says_that_it_is_ready_alive_and_stopping(
    tmp_path: Path, sandbox: SandboxProcess, manager: Manager, address: str
) -> None:
    with agent_of(tmp_path, sandbox.url, address, WATCHDOG_USEC="300000") as agent:
        manager.wait_for("READY=1")
        assert agent.is_healthy(), "ready means that it answers"
        manager.wait_until(lambda: manager.pats() >= 3, "three pats")
        manager.wait_for("STATUS=0 events wait")
        sandbox.behave(down=True)
        for number in range(3):
            agent.send_v2(trigger(number=number)).raise_for_status()
        manager.wait_for("STATUS=PagerDuty is unreachable, 3 events wait")
        assert "STOPPING=1" not in manager.told
        assert agent.stop() == 0
        manager.wait_for("STOPPING=1")
        assert manager.told.count("READY=1") == 1


def test_an_agent_that_cannot_start_is_never_ready(tmp_path: Path, sandbox: SandboxProcess) -> None:
    address = f"@{os.urandom(8).hex()}"
    manager = Manager(address)
    agent = agent_of(tmp_path, sandbox.url, address)
    with socket.socket() as taken:
        # Bound but not listening: who connects is refused at once.
        taken.bind(("127.0.0.1", int(agent.address.rpartition(":")[2])))
        with pytest.raises(RuntimeError, match="can't listen"):
            agent.start()
    manager.listen()
    assert manager.told == []
    manager.close()


WITHOUT_TIMER = """
import sys
from actors.system import ActorSystem
from pdagent.cli import main

real, calls = ActorSystem.dead_parts, []

def dead_parts(system):
    calls.append(1)
    return real(system) if len(calls) < 40 else ["the timer actor is not running"]

ActorSystem.dead_parts = dead_parts
sys.exit(main(sys.argv[1:]))
"""


class AgentWithoutTimer(AgentProcess):
    """An agent of which a part is gone after a while, for good."""

    def command(self, *arguments: str) -> list[str]:
        """The command line."""
        command = super().command(*arguments)
        if arguments != ("server",):
            return command
        script = self.directory / "without_timer.py"
        script.write_text(WITHOUT_TIMER)
        return [sys.executable, str(script), *command[3:]]


def test_an_agent_that_a_restart_would_mend_pats_no_more_and_says_why(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    address = f"@{os.urandom(8).hex()}"
    manager = Manager(address)
    agent = AgentWithoutTimer(tmp_path / "agent", sandbox.url)
    agent.env = {
        "NOTIFY_SOCKET": address,
        "WATCHDOG_USEC": "150000",
        "PYTHONPATH": str(REPOSITORY),
    }
    with agent:
        manager.wait_for("READY=1")
        manager.wait_for("STATUS=the timer actor is not running")
        pats = manager.pats()
        before = len(manager.told)
        manager.wait_until(lambda: len(manager.told) >= before + 3, "it goes on to say why")
        assert manager.pats() == pats
        done = agent.cli("health")
        assert done.returncode == 1
        assert "is not ready: the timer actor is not running" in done.stderr
        assert agent.cli("health", "--live").returncode == 0
    manager.close()


def test_a_watchdog_meant_for_another_process_and_no_manager_at_all_are_no_trouble(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    env = {"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"}
    agent = AgentProcess(tmp_path / "agent", sandbox.url)
    agent.env = env
    with agent:
        agent.send_v2(trigger()).raise_for_status()
        agent.wait_until_drained()
        assert agent.stop() == 0
        assert "Traceback" not in agent.log()


def settings() -> dict[str, list[str]]:
    """The unit's settings; one that is set more than once has several values."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def test_the_unit_asks_for_what_the_agent_does() -> None:
    unit = settings()
    assert unit["Type"] == ["notify"]
    assert int(unit["WatchdogSec"][0]) >= 30
    assert unit["Restart"] == ["on-failure"]
    assert unit["ExecStart"][0].endswith(
        "pagerduty-agent --config /etc/pagerduty-agent.yaml server"
    )
    assert unit["ProtectSystem"] == ["strict"]
    document = (REPOSITORY / "docs" / "systemd.md").read_text(encoding="utf-8")
    assert "(../pdagent/installation/pagerduty-agent.service)" in document
    # What the page installs is what the unit starts, where the unit may look.
    program = unit["ExecStart"][0].split()[0]
    assert f"sudo ln -s /opt/pagerduty-agent/bin/pagerduty-agent {program}\n" in document
    assert "sudo pagerduty-agent init --system\n" in document
    assert unit["User"] == unit["Group"] == ["pagerduty-agent"]
    assert unit["ReadWritePaths"] == ["-/var/spool/pagerduty-agent"]
    assert "PrivateUsers" not in unit  # the kernel would tell the agent a wrong user of a sender


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (package systemd)"
)
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path, unit: Path) -> None:
    copy = tmp_path / unit.name.replace("@", "@x.service")
    copy.write_text(unit.read_text().replace("/usr/local/bin/pagerduty-agent", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert copy.name not in done.stderr, done.stderr


WITHOUT_NEW_CODE = """
import ctypes, os, sys
# PR_SET_MDWE: memory is never writable and executable, as MemoryDenyWriteExecute=yes has it.
if ctypes.CDLL(None, use_errno=True).prctl(65, 1, 0, 0, 0):
    sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_the_agent_works_without_memory_that_is_writable_and_executable(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    class Hardened(AgentProcess):
        def command(self, *arguments: str) -> list[str]:
            command = super().command(*arguments)
            return [sys.executable, "-c", WITHOUT_NEW_CODE, *command]

    probe = subprocess.run([sys.executable, "-c", WITHOUT_NEW_CODE, "/bin/true"], check=False)
    if probe.returncode == 77:
        pytest.skip("this kernel can't deny memory that is writable and executable (Linux 6.3 can)")
    with Hardened(tmp_path / "agent", sandbox.url) as agent:
        agent.send_v2(trigger()).raise_for_status()
        agent.wait_until_drained()
        assert agent.stop() == 0
