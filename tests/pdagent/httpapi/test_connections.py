"""Requests that no well-behaved client sends: an answer in JSON, nothing queued, nothing broken."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.agent_process import AgentProcess
from tests.pdagent.httpapi.raw_http import RawConnection, chunked, head
from tests.pdagent.httpapi.sample_events import new_key, of_size, trigger

LIMIT = 512_000


def accepted(agent: AgentProcess) -> int:
    return agent.totals()["accepted"]


@pytest.fixture
def before(agent: AgentProcess) -> int:
    """How many events had been accepted before the test."""
    return accepted(agent)


def test_a_body_that_ends_too_early_is_not_taken_even_if_it_is_valid_json(
    agent: AgentProcess, before: int
) -> None:
    event = json.dumps(trigger()).encode()
    with RawConnection(agent) as connection:
        connection.send(head(agent, Content_Length=len(event) + 10), event)
        answer = connection.finish_sending().answer()
        assert answer.status == 400
        assert answer.json() == {
            "status": "invalid event",
            "message": "the request ended before its body was complete",
            "errors": ["the request ended before its body was complete"],
        }
        assert connection.is_closed_by_the_agent()
    with RawConnection(agent) as connection:
        connection.send(head(agent, Content_Length=len(event) + 10), event)
    with RawConnection(agent) as connection:
        part = chunked(event)[: -len(b"0\r\n\r\n")]
        connection.send(head(agent, Transfer_Encoding="chunked"), part).finish_sending()
        assert connection.answer().status == 400
    assert accepted(agent) == before


def test_a_client_that_half_closes_after_its_request_still_gets_the_answer(
    agent: AgentProcess, before: int
) -> None:
    event = json.dumps(trigger()).encode()
    with RawConnection(agent) as connection:
        connection.send(head(agent, Content_Length=len(event)), event).finish_sending()
        assert connection.answer().status == 202
        assert connection.is_closed_by_the_agent()
    assert accepted(agent) == before + 1


@pytest.mark.parametrize("size", [LIMIT, LIMIT + 1])
@pytest.mark.parametrize("encoding", ["plain", "chunked"])
@pytest.mark.parametrize("connection_header", ["keep-alive", "close"])
def test_bodies_over_the_limit_are_refused_however_they_are_sent(
    agent: AgentProcess, before: int, size: int, encoding: str, connection_header: str
) -> None:
    event = of_size(size)
    if encoding == "plain":
        request = head(agent, Content_Length=size, Connection=connection_header) + event
    else:
        pieces = [event[place : place + 50_000] for place in range(0, size, 50_000)]
        request = head(agent, Transfer_Encoding="chunked", Connection=connection_header)
        request += chunked(*pieces)
    with RawConnection(agent) as connection:
        answer = connection.send(request).answer()
    assert answer.status == (202 if size == LIMIT else 413)
    assert accepted(agent) == before + (size == LIMIT)
    if size > LIMIT:
        assert "512000" in answer.json()["errors"][0]


def test_a_chunked_body_without_end_is_refused_long_before_it_fills_the_memory(
    agent: AgentProcess, before: int
) -> None:
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with RawConnection(agent) as connection:
        connection.send(head(agent, Transfer_Encoding="chunked"))
        for _ in range(40):
            connection.send(piece)
        assert connection.answer().status == 413
        with pytest.raises(OSError):  # the rest is read for a while, then the agent hangs up
            for _ in range(10_000):
                connection.send(piece)
    assert accepted(agent) == before


def test_pipelined_requests_are_answered_one_by_one_in_their_order(
    agent: AgentProcess, before: int
) -> None:
    key = new_key()
    events = [json.dumps(trigger(key, dedup_key=f"d{n}")).encode() for n in range(20)]
    requests = [head(agent, Content_Length=len(event)) + event for event in events]
    bad = head(agent, Content_Length=2) + b"{}"
    with RawConnection(agent) as connection:
        connection.send(*requests[:10], bad, *requests[10:])
        answers = [connection.answer() for _ in range(21)]
    assert [answer.status for answer in answers] == [202] * 10 + [400] + [202] * 10
    keys = [answer.json()["dedup_key"] for answer in answers if answer.status == 202]
    assert keys == [f"d{n}" for n in range(20)]
    assert accepted(agent) == before + 20


def test_rubbish_behind_a_request_does_not_take_its_answer_away(
    agent: AgentProcess, before: int
) -> None:
    event = json.dumps(trigger()).encode()
    with RawConnection(agent) as connection:
        connection.send(head(agent, Content_Length=len(event)), event, b"rubbish\r\n\r\n")
        assert connection.answer().status == 202
        assert connection.is_closed_by_the_agent()
    assert accepted(agent) == before + 1


def test_a_flood_of_pipelined_requests_ends_the_connection_after_some_of_them(
    agent: AgentProcess,
) -> None:
    with RawConnection(agent) as connection:
        connection.send(head(agent, "/health", "GET") * 2_000)
        connection.socket.settimeout(10)
        answers = 0
        while (piece := connection.socket.recv(1 << 16)) != b"":
            answers += piece.count(b"HTTP/1.1 200 OK")
    assert 0 < answers < 200


@pytest.mark.parametrize(
    "request_text",
    [
        b"GET /health\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"rubbish\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"POST /send HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        b"POST /send HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"POST /send HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        "GET /hälth HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /health HTTP/2.0\r\nHost: localhost\r\n\r\n",
        b"GET /health HTTP/0.9\r\nHost: localhost\r\n\r\n",
        b"GET /health\r\n\r\n",
        b"POST /v2/enqueue\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: evil.example\r\nHost: localhost\r\n\r\n",
        b"GET http:///x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_what_is_not_a_request_gets_a_400_in_json(agent: AgentProcess, request_text: bytes) -> None:
    with RawConnection(agent) as connection:
        answer = connection.send(request_text).answer()
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["errors"]


@pytest.mark.parametrize(
    "target",
    ["/queue/status?rk=%ff%00", "/queue/status?rk=\xff", "/%ff%fe", "/queue/status?&&==&rk"],
)
def test_odd_bytes_in_a_target_are_nobodys_mistake_but_the_callers(
    agent: AgentProcess, target: str
) -> None:
    with RawConnection(agent) as connection:
        answer = connection.send(head(agent, target, "GET")).answer("GET")
    assert answer.status in (200, 400, 404)
    assert answer.headers["content-type"] == "application/json"


def test_headers_may_be_large_but_not_huge(agent: AgentProcess) -> None:
    with RawConnection(agent) as connection:
        connection.send(head(agent, "/health", "GET", X_Large="x" * 30_000))
        assert connection.answer().status == 200
    for name, value in (("X_Huge", "x" * 40_000), ("X_Endless", "x" * 400_000)):
        with RawConnection(agent) as connection:
            answer = connection.send(head(agent, "/health", "GET", **{name: value})).answer()
            assert answer.status == 431
            assert answer.json() == {"errors": ["the request's headers are too large"]}
            assert connection.is_closed_by_the_agent()
    many = "".join(f"X-{number}: 1\r\n" for number in range(10_000)).encode()
    with RawConnection(agent) as connection:
        connection.send(head(agent, "/health", "GET")[:-2], many, b"\r\n")
        assert connection.answer().status == 431


def test_a_request_hidden_behind_huge_headers_is_not_carried_out(
    agent: AgentProcess, before: int
) -> None:
    event = json.dumps(trigger()).encode()
    hidden = head(agent, Content_Length=len(event)) + event
    with RawConnection(agent) as connection:
        connection.send(head(agent, "/health", "GET", X_Huge="x" * 40_000), hidden)
        assert connection.answer().status == 431
        assert connection.is_closed_by_the_agent()
    assert accepted(agent) == before


def test_offers_of_other_protocols_are_declined_and_the_connection_goes_on(
    agent: AgentProcess, before: int
) -> None:
    event = json.dumps(trigger()).encode()
    for upgrade in ("h2c", "websocket"):
        offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": upgrade}
        with RawConnection(agent) as connection:
            for _ in range(2):
                connection.send(head(agent, Content_Length=len(event), **offer), event)
                assert connection.answer().status == 202
            connection.send(head(agent, "/health", "GET", **offer))
            assert connection.answer().status == 200
    assert accepted(agent) == before + 4


def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(agent: AgentProcess) -> None:
    event = json.dumps(trigger()).encode()
    with RawConnection(agent) as connection:
        connection.send(head(agent, Content_Length=len(event), Expect="100-continue"))
        assert connection.socket.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert connection.send(event).answer().status == 202


def test_empty_lines_between_requests_are_ignored(agent: AgentProcess) -> None:
    event = json.dumps(trigger()).encode()
    with RawConnection(agent) as connection:
        for _ in range(2):
            connection.send(head(agent, Content_Length=len(event)), event, b"\r\n")
            assert connection.answer().status == 202


def test_an_http_1_0_client_without_a_host_gets_its_answer(agent: AgentProcess) -> None:
    event = json.dumps(trigger()).encode()
    with RawConnection(agent) as connection:
        connection.send(b"POST /v2/enqueue HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(event))
        assert connection.send(event).answer().status == 202
        assert connection.is_closed_by_the_agent()


def test_clients_that_come_and_go_without_a_word_leave_nothing_behind(agent: AgentProcess) -> None:
    event = json.dumps(trigger()).encode()
    request = head(agent, Content_Length=len(event)) + event

    def vanish(length: int) -> None:
        with RawConnection(agent) as connection:
            connection.send(request[:length])

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(vanish, range(0, len(request), 3)))
    agent.wait_for(agent.is_healthy, "the agent is healthy")
