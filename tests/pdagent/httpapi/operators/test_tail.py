"""`GET /queue/tail`: what happens, while it happens."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from pdagent.operating.followers import MOST_FOLLOWERS
from tests.agent_process import AgentProcess
from tests.pdagent.httpapi.operators.asking import NAMED, OTHER, error_of, event, sent
from tests.pdagent.httpapi.raw_http import RawConnection, head
from tests.sandbox_process import SandboxProcess


def lines_until(lines: Iterator[bytes], record: str) -> list[dict[str, Any]]:
    """What a tail tells up to a record."""
    told = []
    for line in lines:
        if line:
            told.append(json.loads(line))
            if told[-1]["record"] == record:
                break
    return told


def test_a_tail_tells_what_happens_to_the_queue_it_follows(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    sent(agent, event(OTHER, "before"))
    agent.wait_until_drained()
    with agent.get("/queue/tail", params={"rk": NAMED}, stream=True) as answer:
        assert answer.headers["Content-Type"] == "application/x-ndjson"
        lines = answer.iter_lines(chunk_size=None)
        assert next(lines) == b"", "the client is told at once that it follows"
        sent(agent, event(OTHER, "of another key"))
        [followed] = sent(agent, event())
        told = lines_until(lines, "EventDelivered")
    assert [line["record"] for line in told] == [
        "EventAccepted",
        "DeliveryStarted",
        "EventDelivered",
    ]
    assert {(line["queue"], line["id"]) for line in told} == {("database", followed)}
    assert told[0]["summary"] == "trigger of disk"
    assert told[2]["status"] == 202
    assert NAMED not in json.dumps(told)


def test_head_is_answered_follows_nothing_and_leaves_the_connection_in_step(
    agent: AgentProcess,
) -> None:
    with RawConnection(agent) as connection:
        for _ in range(MOST_FOLLOWERS + 1):
            answer = connection.send(head(agent, "/queue/tail", "HEAD")).answer("HEAD")
            assert (answer.status, answer.body) == (200, b"")
            assert answer.headers["content-type"] == "application/x-ndjson"
        assert connection.send(head(agent, "/health", "GET")).answer("GET").body == b"OK"


@pytest.mark.parametrize("behind", ["nothing", "a request"])
def test_followers_are_limited_and_those_that_left_make_room(
    agent: AgentProcess, behind: str
) -> None:
    pipelined = head(agent, "/health", "GET") if behind == "a request" else b""
    with ExitStack() as following:

        def follows() -> bool:
            connection = following.enter_context(RawConnection(agent))
            # Closed without ceremony, as by the end of a process that had not read all.
            connection.socket.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            connection.send(head(agent, "/queue/tail", "GET"), pipelined)
            return connection.socket.recv(4096).startswith(b"HTTP/1.1 200 ")

        count = 0
        while follows():
            count += 1
        # Another test's may not have been missed yet.
        assert 45 <= count <= 50
        one_more = agent.get("/queue/tail")
        assert "too many follow" in error_of(one_more, 503)
        assert one_more.headers["Retry-After"] == "60"

    # One that is not known to have left would be written to.
    sent(agent, event())

    def there_is_room() -> bool:
        with agent.get("/queue/tail", stream=True) as answer:
            return answer.status_code == 200

    agent.wait_for(there_is_room, "those who left are forgotten")
