"""SIGTERM and `server stop`: what is begun is finished, nothing new begins, exit status 0."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGTERM

import pytest
import requests

from pdagent.spool import SpooledEvent, put
from tests.agent_process import AgentProcess
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import (
    KEY,
    key_number,
    number_of,
    numbers_by_key,
    trigger,
)


def refuses_connections(agent: AgentProcess) -> bool:
    host, port = agent.address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


class UnreadAgent(AgentProcess):
    """An agent whose log goes to a pipe that nobody reads."""

    def command(self, *arguments: str) -> list[str]:
        """The command line."""
        command = super().command(*arguments)
        if arguments != ("server",):
            return command
        if not self.fifo.exists():
            os.mkfifo(self.fifo)
        return [sys.executable, "-c", UNREAD, str(self.fifo), *command]

    @property
    def fifo(self) -> Path:
        """The pipe."""
        return self.directory / "log.fifo"


UNREAD = """
import os, sys
os.dup2(os.open(sys.argv[1], os.O_RDWR), 2)  # for reading as well: somebody could read, all along
os.execv(sys.argv[2], sys.argv[2:])
"""


def room_left(fifo: Path) -> int:
    """How many bytes a pipe would still take: 65,536 at first, or less where pipes are many."""
    descriptor = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        unread = fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4))
        room = fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)
        return room - int.from_bytes(unread, sys.byteorder)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def half_sent_request(agent: AgentProcess, event: object) -> Iterator[socket.socket]:
    """A `POST /send` whose body lacks its last byte; yields the connection."""
    body = json.dumps(event).encode()
    head = (
        f"POST /send HTTP/1.1\r\nHost: {agent.address}\r\nPd-Event-Version: v2\r\n"
        f"Authorization: token {agent.secret}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    host, port = agent.address.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head.encode() + body[:-1])
        yield connection


def test_a_signal_stops_the_agent_with_exit_status_0_and_it_can_start_again_at_once(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    sandbox.behave(down=True)
    agent.send_v2(trigger(KEY, 1)).raise_for_status()
    for number in (SIGTERM, SIGINT, SIGHUP):
        assert agent.stop(number) == 0
        assert not agent.pidfile.exists()
        agent.restart()
        assert agent.totals()["waiting"] == 1
    sandbox.behave(down=False)
    sandbox.wait_for_events(1)
    assert "Traceback" not in agent.log()


def test_server_stop_returns_when_the_agent_can_be_started_again(agent: AgentProcess) -> None:
    for _ in range(2):
        stopped, pid = agent.process, agent.pid
        done = agent.cli("server", "stop")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"Stopped the agent (pid {pid}).\n"
        # At once, even if the old process still has a last moment to live.
        agent.start()
        assert stopped.wait(10) == 0
    assert "Traceback" not in agent.log()


def test_nothing_new_is_accepted_once_the_agent_was_told_to_stop(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    sandbox.behave(hang_key=KEY, hang=60)
    agent.send_v2(trigger(KEY, 1)).raise_for_status()
    sandbox.wait_for(lambda: sandbox.events(KEY), "the delivery has begun")
    agent.signal(SIGTERM)
    agent.wait_for(lambda: refuses_connections(agent), "connections are refused")
    # The delivery in flight keeps the process alive, and still nothing gets in.
    assert agent.is_running
    with pytest.raises(requests.ConnectionError):
        agent.send_v2(trigger(KEY, 2))
    done = agent.cli("send", "-k", KEY, "-t", "trigger", "-d", "Disk full")
    assert (done.returncode, done.stdout) == (69, "")
    assert "nothing was stored" in done.stderr
    assert agent.wait() == 0
    agent.restart()
    assert agent.totals()["accepted"] == 1


def test_a_request_that_is_being_answered_at_the_stop_is_answered_and_its_event_delivered(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    with half_sent_request(agent, trigger(KEY, 7)) as connection:
        # Only when a later request is answered is it sure that the agent has begun with this one.
        assert agent.is_healthy()
        agent.signal(SIGTERM)
        agent.wait_for(lambda: refuses_connections(agent), "connections are refused")
        connection.sendall(b"}")
        answer = connection.makefile("rb").read()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), answer
    assert json.loads(body)["dedup_key"]
    assert agent.wait() == 0
    agent.restart()
    agent.wait_until_drained()
    assert [number_of(event) for event in sandbox.wait_for_events(1)] == [7]


def test_requests_that_do_not_come_to_an_end_are_told_of_the_stop(agent: AgentProcess) -> None:
    event = trigger(KEY, 1)
    line = json.dumps(event).encode() + b"\n"
    batch = (
        f"POST /send/batch HTTP/1.1\r\nHost: {agent.address}\r\n"
        f"Authorization: token {agent.secret}\r\nTransfer-Encoding: chunked\r\n\r\n"
    ).encode() + b"%x\r\n%b\r\n" % (len(line), line)
    host, port = agent.address.split(":")
    with (
        half_sent_request(agent, event) as half_sent,
        socket.create_connection((host, int(port)), timeout=20) as endless,
    ):
        endless.sendall(batch)
        receipts = endless.makefile("rb")
        while b'"key"' not in receipts.readline():
            pass
        assert agent.stop(SIGTERM) == 0
        answer = half_sent.makefile("rb").read()
        # Without the end of a chunked answer the client knows that it is not complete.
        assert receipts.read().strip() == b""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 "), answer
    assert b"retry-after: " in head
    assert json.loads(body) == {"errors": ["the agent is stopping; retry later"]}
    assert " ERROR " not in agent.log()
    assert "Traceback" not in agent.log()


def test_a_delivery_in_flight_is_finished_and_not_repeated_after_the_next_start(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    sandbox.behave(latency=2)
    agent.send_v2(trigger(KEY, 1)).raise_for_status()
    agent.send_v2(trigger(KEY, 2)).raise_for_status()
    sandbox.wait_for(lambda: sandbox.events(), "the first delivery has begun")
    assert agent.stop() == 0
    # The first one was waited for, the second one not begun.
    assert [(number_of(event), event["status"]) for event in sandbox.events()] == [(1, 202)]
    sandbox.behave(latency=0)
    agent.restart()
    agent.wait_until_drained()
    assert [number_of(event) for event in sandbox.events()] == [1, 2]


def test_a_delivery_that_takes_longer_than_5_s_is_repeated_after_the_next_start(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    sandbox.behave(hang_key=KEY, hang=60)
    agent.send_v2(trigger(KEY, 1)).raise_for_status()
    sandbox.wait_for(lambda: sandbox.events(), "the delivery has begun")
    assert agent.stop() == 0
    sandbox.behave(hang_key=[])
    agent.restart()
    agent.wait_until_drained()
    first, second = sandbox.events()
    assert first["body"] == second["body"]
    assert (first["status"], second["status"]) == (None, 202)


def test_clean_stops_under_load_lose_nothing_and_repeat_nothing(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    keys, each, stops = [key_number(n) for n in range(20)], 60, 3
    sandbox.behave(down=True)
    lines = [json.dumps(trigger(key, n)) for n in range(each) for key in keys]
    agent.post("/send/batch", data="\n".join(lines)).raise_for_status()
    sandbox.behave(down=False)
    for stop in range(1, stops + 1):
        sandbox.wait_for_events(stop * len(keys) * each // (stops + 2))
        assert agent.stop() == 0
        agent.restart()
    agent.wait_until_drained()
    assert numbers_by_key(sandbox.events()) == {key: list(range(each)) for key in keys}
    assert "Traceback" not in agent.log()


def test_a_stop_while_spooled_events_are_taken_in_repeats_no_delivery(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    """The answer to the one under way comes when nobody waits for it any more."""
    keys, each, folder = [key_number(n) for n in range(20)], 60, tmp_path / "spool"
    spooled = 400
    with AgentProcess(tmp_path / "agent", sandbox.url, spool=folder, max_in_flight=20) as agent:
        sandbox.behave(latency=0.03)
        for number in range(spooled):
            body = json.dumps(trigger(key_number(99), number)).encode()
            put(folder, SpooledEvent(kind="v2", body=body, idempotency_key=str(number)))
        lines = [json.dumps(trigger(key, n)) for n in range(each) for key in keys]
        agent.post("/send/batch", data="\n".join(lines)).raise_for_status()
        agent.wait_for(lambda: len(list(folder.iterdir())) < spooled - 20, "spooled events go")
        assert agent.stop() == 0
        sandbox.behave(latency=0)
        agent.restart()
        agent.wait_for(lambda: not list(folder.iterdir()), "all spooled events are taken in")
        agent.wait_until_drained()
        assert numbers_by_key(sandbox.events()) == {
            **{key: list(range(each)) for key in keys},
            key_number(99): list(range(spooled)),
        }
        assert "Traceback" not in agent.log()


def test_a_log_that_nobody_reads_does_not_keep_the_agent_from_ending(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    with UnreadAgent(tmp_path / "agent", sandbox.url) as agent:
        lines = b"\n".join(json.dumps(trigger(KEY, n)).encode() for n in range(800))
        agent.post("/send/batch", data=lines).raise_for_status()
        agent.wait_until_drained()
        # At most a page of it stays free: there is far more to be written.
        agent.wait_for(lambda: room_left(agent.fifo) < 5_000, "the log's pipe is full")
        assert agent.stop() == 0
        assert not agent.pidfile.exists()
        agent.restart()
        assert agent.totals()["delivered"] == 800


def test_further_signals_while_the_agent_stops_change_nothing(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    sandbox.behave(latency=2)
    agent.send_v2(trigger(KEY, 1)).raise_for_status()
    sandbox.wait_for(lambda: sandbox.events(), "the delivery has begun")
    agent.signal(SIGTERM)
    agent.wait_for(lambda: refuses_connections(agent), "connections are refused")
    for number in (SIGTERM, SIGINT, SIGHUP):
        agent.signal(number)
    assert agent.wait() == 0
    agent.restart()
    assert agent.totals()["delivered"] == 1


def test_a_stale_pidfile_stops_nobody_and_hinders_nobody(agent: AgentProcess) -> None:
    agent.kill()
    assert agent.pidfile.exists()
    # Since the crash, the number may have become somebody else's: ours.
    agent.pidfile.write_text(f"{os.getpid()}\n")
    done = agent.cli("server", "stop")
    assert done.returncode == 1
    assert done.stderr.startswith("error: no agent is running")
    agent.restart()
    assert agent.pidfile.read_text() == f"{agent.pid}"
    assert agent.cli("server", "stop").returncode == 0
    assert agent.wait() == 0
