"""The Unix socket of an agent: its file, who may use it for what, and commands that go by it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdagent.localclient.unix_socket import connected
from tests.agent_process import AgentProcess
from tests.clients.tls_agent import TlsAgent
from tests.pdagent.httpapi.sample_events import trigger

SEND = ("send", "-k", "v4g5q7yie1qee1yio2uimz8yfbjenvj9", "-t", "trigger", "-d", "Disk full")


@pytest.fixture
def path() -> Iterator[Path]:
    """Where the socket is to be: such a path has at most 107 bytes, which pytest's may exceed."""
    with tempfile.TemporaryDirectory(prefix="pdagent") as folder:
        yield Path(folder) / "agent.sock"


def refusal(agent: AgentProcess) -> str:
    """Why the agent does not start."""
    with pytest.raises(RuntimeError, match="did not start") as caught:
        agent.start()
    return str(caught.value)


def ask(path: Path, method: str, target: str, body: bytes = b"", *lines: str) -> int:
    """The status of the answer over the socket, to a request without the secret."""
    head = (f"{method} {target} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall("\r\n".join((*head, *lines, "", "")).encode() + body)
        return int(connection.recv(1 << 16).split()[1])


def test_the_file_is_for_the_group_and_goes_with_the_agent(
    tmp_path: Path, nowhere: str, path: Path
) -> None:
    with AgentProcess(tmp_path / "agent", nowhere, socket=path) as agent:
        assert stat.filemode(path.stat().st_mode) == "srw-rw----"
        assert path.stat().st_gid == os.getegid()
        agent.kill()
        assert path.exists()
        agent.start()  # a file that a killed agent left is replaced
        assert ask(path, "GET", "/health") == 200
        assert agent.stop() == 0
        assert not path.exists()


def test_a_live_socket_and_other_files_are_never_taken_away(
    tmp_path: Path, nowhere: str, path: Path
) -> None:
    with AgentProcess(tmp_path / "first", nowhere, socket=path) as first:
        second = AgentProcess(tmp_path / "second", nowhere, socket=path)
        assert f"another agent listens on the socket {path}: stop it" in refusal(second)
        assert ask(path, "GET", "/health") == 200
        assert first.stop() == 0
        path.write_text("mine")
        assert f"{path} is there and is no socket: remove it" in refusal(second)
        assert path.read_text() == "mine"


def test_a_path_that_cannot_be_a_socket_is_refused_in_one_line(
    tmp_path: Path, nowhere: str
) -> None:
    for bad in (tmp_path / ("x-" * 60), Path("/proc/agent.sock")):
        agent = AgentProcess(tmp_path / "agent", nowhere, socket=bad)
        assert f"can't listen on the socket {bad} (" in refusal(agent)


@contextlib.contextmanager
def acting_as(number: int) -> Iterator[None]:
    """Be the user and the group of that number for a while; the kernel tells the agent so."""
    os.setegid(number)
    os.seteuid(number)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_another_user_may_send_but_not_operate(tmp_path: Path, nowhere: str, path: Path) -> None:
    event = json.dumps(trigger()).encode()
    calls = {
        ("POST", "/send", "Pd-Event-Version: v2"): 200,
        ("POST", "/send/batch", "Pd-Event-Version: v2"): 200,
        ("POST", "/v2/enqueue", "A: b"): 202,
        ("GET", "/health", "A: b"): 200,
        ("GET", "/status", "A: b"): 401,
        ("GET", "/queue/events", "A: b"): 401,
        ("POST", "/queue/retry", "A: b"): 401,
        ("GET", "/queue/tail", "A: b"): 401,
    }
    with AgentProcess(tmp_path / "agent", nowhere, socket=path, require_secret="true") as agent:
        path.parent.chmod(0o755)
        os.chown(path, -1, 61234)
        with acting_as(61234):
            assert {call: ask(path, *call[:2], event, call[2]) for call in calls} == calls
        assert ask(path, "GET", "/status") == 200  # root
        agent.wait_for(lambda: agent.log().count("(uid 61234)") == 3, "three lines with the user")


def test_commands_go_by_the_socket_unless_an_address_is_given_closer(
    tmp_path: Path, nowhere: str, path: Path
) -> None:
    """By the address they would need the secret, which is not in their config."""
    with AgentProcess(tmp_path / "agent", nowhere, socket=path) as agent:
        config = agent.config.read_text()
        without = "".join(
            line for line in config.splitlines(True) if not line.startswith("secret:")
        )
        agent.config.write_text(without)
        for command in (SEND, ("status",), ("queue", "list"), ("health",)):
            assert agent.cli(*command).returncode == 0, command
        flag = agent.cli("--address", agent.address, "status")
        agent.env["PAGERDUTY_AGENT_ADDRESS"] = agent.address
        by_environment = agent.cli("status")
        for done in (flag, by_environment):
            assert done.returncode == 1
            assert f"the agent at {agent.address} requires a secret" in done.stderr
        agent.env["PAGERDUTY_AGENT_SOCKET"] = str(path)
        assert agent.cli("status").returncode == 0


def test_the_socket_speaks_no_tls_where_the_address_does(
    tmp_path: Path, nowhere: str, path: Path
) -> None:
    with TlsAgent(tmp_path / "agent", nowhere, socket=path) as agent:
        assert agent.cli(*SEND).returncode == 0
        agent.env["PAGERDUTY_AGENT_ADDRESS"] = agent.address
        assert agent.cli(*SEND).returncode == 0


def test_those_who_call_while_the_line_is_full_wait_for_their_turn(path: Path) -> None:
    """A busy agent is not away: their events must not go into the spool, or get lost."""
    made: list[socket.socket] = []
    with socket.socket(socket.AF_UNIX) as busy, contextlib.ExitStack() as opened:
        busy.bind(str(path))
        busy.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                first = opened.enter_context(socket.socket(socket.AF_UNIX))
                first.setblocking(False)
                first.connect(str(path))
        callers = [
            threading.Thread(target=lambda: made.append(connected(path, 60))) for _ in range(50)
        ]
        for caller in callers:
            caller.start()
        busy.settimeout(0.05)
        while any(caller.is_alive() for caller in callers):
            with contextlib.suppress(TimeoutError):
                opened.enter_context(busy.accept()[0])
        for connection in made:
            connection.close()
    assert len(made) == len(callers)
