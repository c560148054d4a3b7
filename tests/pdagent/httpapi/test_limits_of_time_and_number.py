"""Slow clients, silent clients and too many clients don't keep the agent from its work."""

from __future__ import annotations

import contextlib
import json
import re
import resource
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.agent_process import REPOSITORY, AgentProcess
from tests.clients.tls_agent import TlsAgent
from tests.pdagent.httpapi.impatient_agent import (
    BODY_SECONDS,
    CONNECTIONS,
    HEAD_SECONDS,
    PAUSE_SECONDS,
    ImpatientAgent,
)
from tests.pdagent.httpapi.raw_http import PATIENCE, RawConnection, head
from tests.pdagent.httpapi.sample_events import ndjson, trigger

UNIT = (REPOSITORY / "pdagent" / "installation" / "pagerduty-agent.service").read_text()
WATCHDOG_SECONDS = float(re.findall(r"^WatchdogSec=(\d+)$", UNIT, re.MULTILINE)[0])
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def running_impatient(
    tmp_path_factory: pytest.TempPathFactory, nowhere: str
) -> Iterator[AgentProcess]:
    with ImpatientAgent(tmp_path_factory.mktemp("impatient") / "agent", nowhere) as process:
        yield process


@pytest.fixture
def impatient(running_impatient: AgentProcess) -> Iterator[AgentProcess]:
    yield running_impatient
    running_impatient.session().close()
    running_impatient.wait_for(running_impatient.is_healthy, "it is healthy")
    assert "Traceback" not in running_impatient.log()


def test_headers_that_arrive_byte_by_byte_are_not_waited_for(impatient: AgentProcess) -> None:
    request = head(impatient, "/health", "GET")
    began = time.monotonic()
    with RawConnection(impatient) as connection, contextlib.suppress(OSError):
        connection.socket.settimeout(0.2)
        for byte in request:
            connection.send(bytes([byte]))
            with contextlib.suppress(TimeoutError):
                assert connection.socket.recv(1, 2)  # MSG_PEEK
                break
        connection.socket.settimeout(PATIENCE)
        answer = connection.answer("GET")
        assert answer.status == 408
        assert answer.json() == {
            "errors": ["the request's headers took too long to arrive; retry later"]
        }
    assert time.monotonic() - began > HEAD_SECONDS


def test_a_body_that_never_comes_is_not_waited_for(impatient: AgentProcess) -> None:
    event = json.dumps(trigger()).encode()
    before = impatient.totals()["accepted"]
    for part in (b"", event[:-1]):
        began = time.monotonic()
        with RawConnection(impatient) as connection:
            connection.send(head(impatient, Content_Length=len(event)), part)
            answer = connection.answer()
            assert answer.status == 408
            assert answer.json()["errors"] == [
                "the request's body took too long to arrive; retry later"
            ]
        assert time.monotonic() - began > BODY_SECONDS
    assert impatient.totals()["accepted"] == before


def test_a_body_for_a_path_that_takes_none_is_not_waited_for_either(
    impatient: AgentProcess,
) -> None:
    with RawConnection(impatient) as connection:
        connection.send(head(impatient, "/nowhere", Content_Length=10))
        assert connection.answer().status == 408


def test_a_connection_without_a_request_is_closed(impatient: AgentProcess) -> None:
    with RawConnection(impatient) as connection:
        assert connection.is_closed_by_the_agent()
    with RawConnection(impatient) as connection:
        connection.send(head(impatient, "/health", "GET"))
        assert connection.answer("GET").status == 200
        connection.send(b"\r\n")  # ends the wait for the next request, and begins none
        assert connection.is_closed_by_the_agent()


def test_a_batch_may_pause_but_not_for_ever(impatient: AgentProcess) -> None:
    line = ndjson(trigger())
    piece = b"%x\r\n%b\r\n" % (len(line), line)
    with RawConnection(impatient) as connection:
        connection.send(head(impatient, "/send/batch", Transfer_Encoding="chunked"))
        began = time.monotonic()
        while time.monotonic() - began < 2 * BODY_SECONDS:
            connection.send(piece)
            time.sleep(PAUSE_SECONDS / 6)
        answer = connection.send(b"0\r\n\r\n").answer()
        assert answer.status == 200
        assert len(answer.body.splitlines()) > 1
    with RawConnection(impatient) as connection:
        connection.send(head(impatient, "/send/batch", Transfer_Encoding="chunked"), piece)
        began = time.monotonic()
        received = bytearray()
        while part := connection.socket.recv(65536):
            received += part
        assert b'"key"' in received  # what was complete had been taken
        assert time.monotonic() - began > PAUSE_SECONDS


def test_a_client_that_does_not_read_its_answers_is_cut_off(impatient: AgentProcess) -> None:
    bad = ndjson(*([b"{}"] * 1_000))
    piece = b"%x\r\n%b\r\n" % (len(bad), bad)
    with RawConnection(impatient) as connection:
        connection.send(head(impatient, "/send/batch", Transfer_Encoding="chunked"))
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            for _ in range(100_000):
                connection.send(piece)


def resident_memory(agent: AgentProcess) -> int:
    """In bytes."""
    pages = Path(f"/proc/{agent.pid}/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def test_clients_that_do_not_read_what_is_wrong_with_their_events_keep_nobody_waiting(
    agent: AgentProcess,
) -> None:
    """60 answers of 3 MB took two hundred megabytes; of 9 MB, more than a minute as well."""
    event = json.dumps({**trigger(), "images": [{}] * 40_000}).encode()
    request = head(agent, Content_Length=len(event)) + event
    before = resident_memory(agent)
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(60) as pool:
        clients = [stack.enter_context(RawConnection(agent)) for _ in range(60)]
        for client in clients:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        list(pool.map(lambda client: client.send(request[:-1]), clients))
        for client in clients:
            client.send(request[-1:])  # now all are complete at once
        with RawConnection(agent) as another:
            another.socket.settimeout(WATCHDOG_SECONDS)
            assert another.send(head(agent, "/health/live", "GET")).answer("GET").status == 200
        for client in clients:
            client.socket.settimeout(WATCHDOG_SECONDS)
            assert client.socket.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 400"
        assert resident_memory(agent) - before < 80 * MEGABYTE


def test_one_connection_too_many_is_told_so_and_the_others_go_on(impatient: AgentProcess) -> None:
    line = ndjson(trigger())
    piece = b"%x\r\n%b\r\n" % (len(line), line)
    batch = head(impatient, "/send/batch", Transfer_Encoding="chunked") + piece
    with contextlib.ExitStack() as stack:
        served: list[RawConnection] = []
        while len(served) <= CONNECTIONS:
            connection = stack.enter_context(RawConnection(impatient)).send(batch)
            if connection.socket.recv(12, socket.MSG_PEEK) != b"HTTP/1.1 200":
                break
            served.append(connection)
        answer = connection.answer()
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["errors"] == ["the agent has too many connections open; retry later"]
        # Earlier tests may have left one or two that wait for their end.
        assert CONNECTIONS - 4 <= len(served) <= CONNECTIONS
        answers = [connection.send(piece, b"0\r\n\r\n").answer() for connection in served]
        assert [len(answer.body.splitlines()) for answer in answers] == [2] * len(served)
    assert impatient.is_healthy()


@pytest.mark.parametrize("kind", ["silent", "half a head", "half a body", "idle"])
def test_connections_that_wait_for_a_request_make_room_for_new_ones(
    impatient: AgentProcess, kind: str
) -> None:
    event = json.dumps(trigger()).encode()
    request = head(impatient, Content_Length=len(event)) + event
    sent = {"silent": b"", "half a head": request[:20], "half a body": request[:-9]}
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS + 5):
            waiting = stack.enter_context(RawConnection(impatient))
            if kind == "idle":
                assert waiting.send(request).answer().status == 202
            else:
                waiting.send(sent[kind])
        for _ in range(3):
            sender = stack.enter_context(RawConnection(impatient))
            assert sender.send(request).answer().status == 202


def test_the_oldest_is_closed_first_of_those_that_have_sent_nothing_then_of_the_idle_ones(
    impatient: AgentProcess,
) -> None:
    event = json.dumps(trigger()).encode()
    request = head(impatient, Content_Length=len(event)) + event

    def is_served(connection: RawConnection) -> bool:
        return connection.send(request).answer().status == 202

    with contextlib.ExitStack() as stack:

        def connected() -> RawConnection:
            return stack.enter_context(RawConnection(impatient))

        idle: list[RawConnection] = []
        for _ in range(CONNECTIONS // 2):
            idle.append(connected())
            assert is_served(idle[-1])
        for _ in range(2 * CONNECTIONS):  # they only take each other's places
            connected()
        assert all(is_served(each) for each in idle)
        for _ in range(CONNECTIONS):
            idle.append(connected())
            assert is_served(idle[-1])
        assert idle[0].is_closed_by_the_agent()
        assert all(is_served(each) for each in idle[-CONNECTIONS // 2 :])


def test_far_too_many_connections_are_survived(impatient: AgentProcess) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS + 300):
            stack.enter_context(RawConnection(impatient))
    impatient.wait_for(impatient.is_healthy, "it answers again")


class ImpatientTlsAgent(TlsAgent, ImpatientAgent):
    """The same over TLS."""


def test_a_tls_handshake_that_never_comes_is_not_waited_for(tmp_path: Path, nowhere: str) -> None:
    with ImpatientTlsAgent(tmp_path, nowhere) as agent:
        host, _, port = agent.address.rpartition(":")
        began = time.monotonic()
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as silent:
            assert silent.recv(1) == b""
        assert time.monotonic() - began >= HEAD_SECONDS * 0.9
        assert agent.is_healthy()
        assert "Traceback" not in agent.log()
