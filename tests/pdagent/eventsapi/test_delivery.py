"""Deliveries to real peers on loopback: what is sent, and what comes of each kind of trouble."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable

import pytest

from actors.core.verdict import Deferred, Delivered, Rejected
from actors.ports import OutgoingEvent
from pdagent.eventsapi.client import EventsApi
from tests.pdagent.eventsapi.peers import (
    ACCEPTED,
    ACCEPTED_V1,
    PATIENCE,
    SUCCESS,
    Link,
    Peer,
    answer,
)
from tests.pdagent.eventsapi.samples import BODIES, KEY, KINDS, SECRET_SUMMARY, Kind, an_event

StartPeer = Callable[..., Peer]
MakeClient = Callable[..., EventsApi]

PATHS = {
    "v1": "/generic/2010-04-15/create_event.json",
    "v2": "/v2/enqueue",
    "change": "/v2/change/enqueue",
}


def deferred(verdict: object) -> tuple[str, str]:
    assert isinstance(verdict, Deferred)
    return verdict.reason, verdict.detail


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("base", ["", "/", "/prefix/"])
def test_each_kind_of_event_is_posted_to_its_own_path_with_its_key(
    peer: StartPeer, client: MakeClient, kind: Kind, base: str
) -> None:
    accepted = ACCEPTED_V1 if kind == "v1" else ACCEPTED
    server = peer(lambda link: link.answer_requests(accepted))
    verdict = client(server.url + base).deliver(an_event(kind))
    assert isinstance(verdict, Delivered)
    assert verdict.status == (200 if kind == "v1" else 202)
    assert 0 < verdict.seconds < PATIENCE
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    path = base.rstrip("/") + PATHS[kind]
    assert head.decode().split("\r\n") == [
        f"POST {path} HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        "User-Agent: pdagent/test",
        "Pd-Agent-Id: agent-1",
        "Content-Type: application/json",
        "Accept: application/json",
        "Accept-Encoding: identity",
        f"Content-Length: {len(body)}",
    ]
    assert json.loads(body)["service_key" if kind == "v1" else "routing_key"] == KEY


@pytest.mark.parametrize(
    "url", ["", "events.pagerduty.com", "ftp://host", "http://", "https://a b"]
)
def test_a_url_that_is_none_is_refused_at_once(client: MakeClient, url: str) -> None:
    with pytest.raises(ValueError):
        client(url)


@pytest.mark.parametrize("kind", KINDS)
def test_every_final_status_comes_to_the_verdict_of_the_table(
    peer: StartPeer, client: MakeClient, kind: Kind
) -> None:
    statuses = [101, *range(200, 600)]
    server: Peer = peer(
        lambda link: link.answer_requests(
            *(
                answer(status, b"" if status in (101, 204, 304) else SUCCESS)
                for status in statuses[len(server.requests) :]
            )
        )
    )
    api = client(server.url)
    for status in statuses:
        match api.deliver(an_event(kind)):
            case Delivered(status=found):
                assert status == 200 if kind == "v1" else 200 <= status <= 299
                assert found == status
            case Rejected(reason=reason):
                assert 400 <= status <= 499
                assert reason == f"http_{status}"
                assert status != 429
            case Deferred(reason="rate_limited"):
                assert status == 429 or (status == 403 and kind == "v1")
            case Deferred(reason="server_error"):
                assert 500 <= status <= 599
            case Deferred(reason="not_understood"):
                assert status == 101 or 200 <= status <= 399
            case other:
                raise AssertionError((status, other))


def test_a_redirect_is_not_followed(peer: StartPeer, client: MakeClient) -> None:
    elsewhere = peer(lambda link: link.answer_requests(ACCEPTED))
    server = peer(
        lambda link: link.answer_requests(answer(307, b"", f"Location: {elsewhere.url}/x"))
    )
    assert deferred(client(server.url).deliver(an_event("v2"))) == ("not_understood", "HTTP 307")
    assert elsewhere.accepted == 0


def test_retry_after_and_the_explanation_come_with_the_verdict(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent
) -> None:
    server = peer(
        lambda link: link.answer_requests(
            answer(429, b'{"message":"too fast"}', "Retry-After: 12"),
            answer(429),
            answer(400, b'{"message":"invalid","errors":["no summary"]}'),
        )
    )
    api = client(server.url)
    limited, again, rejected = (api.deliver(event) for _ in range(3))
    assert isinstance(limited, Deferred)
    assert (limited.retry_after, limited.detail) == (12.0, "HTTP 429: too fast")
    assert isinstance(again, Deferred)
    assert again.retry_after is None
    assert isinstance(rejected, Rejected)
    assert rejected.detail == "invalid: no summary"


def test_cookies_are_not_kept(peer: StartPeer, client: MakeClient, event: OutgoingEvent) -> None:
    with_cookie = answer(202, b"{}", "Set-Cookie: session=x; Path=/")
    server = peer(lambda link: link.answer_requests(with_cookie, with_cookie))
    api = client(server.url)
    api.deliver(event)
    api.deliver(event)
    assert b"cookie" not in server.requests[1].lower()


def test_interim_answers_are_skipped(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent
) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    server = peer(lambda link: link.answer_requests(interim + ACCEPTED, ACCEPTED))
    api = client(server.url)
    assert isinstance(api.deliver(event), Delivered)
    assert isinstance(api.deliver(event), Delivered)
    assert server.accepted == 1


def test_an_interim_answer_alone_is_no_answer(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent
) -> None:
    server = peer(lambda link: link.answer_requests(b"HTTP/1.1 100 Continue\r\n\r\n"))
    assert deferred(client(server.url, read_timeout=0.2).deliver(event))[0] == "no_answer"


def test_an_answer_without_end_is_read_up_to_its_limit_only(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent
) -> None:
    sent = 0

    def flood(link: Link) -> None:
        nonlocal sent
        link.request()
        link.send(b"HTTP/1.1 400 Bad\r\nContent-Length: 1000000000\r\n\r\n")
        while sent < 200_000_000:
            link.send(b"x" * 65_536)
            sent += 65_536

    server = peer(flood)
    verdict = client(server.url).deliver(event)
    assert deferred(verdict) == ("not_understood", "HTTP 400")
    assert server.done.wait(PATIENCE)
    assert sent < 200_000_000


def test_a_body_that_cannot_be_rendered_is_rejected_without_a_connection(
    peer: StartPeer, event: OutgoingEvent
) -> None:
    server = peer(lambda link: link.answer_requests(ACCEPTED))

    def render(_: OutgoingEvent) -> bytes:
        raise ValueError(f"bad {SECRET_SUMMARY} {KEY}")

    api = EventsApi(server.url, user_agent="pdagent/test", agent_id="agent-1", render=render)
    verdict = api.deliver(event)
    assert isinstance(verdict, Rejected)
    assert (verdict.reason, verdict.detail) == ("unreadable", "ValueError")
    assert server.accepted == 0


def test_the_key_and_the_event_are_in_no_verdict_log_line_or_traceback(
    peer: StartPeer,
    client: MakeClient,
    event: OutgoingEvent,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The peers echo the request in every way they can."""
    caplog.set_level(logging.DEBUG)

    def echo(link: Link) -> None:
        request = link.request()
        if request is None:
            return
        body = request.partition(b"\r\n\r\n")[2]
        quoted = json.dumps({"message": f"no: {KEY}", "errors": [KEY]}).encode()
        link.send(
            {
                1: request,
                2: answer(400, quoted),
                3: answer(500, b"<p>" + body),
                4: answer(302, body, "Location: /" + KEY),
                5: b"HTTP/1.1 " + body + b"\r\n\r\n",
                6: answer(403, body),
                7: b"HTTP/1.1 202 OK\r\nBad " + body + b": x\r\n\r\n",
            }[link.number]
        )

    api = client(peer(echo).url)
    seen = []
    for _ in range(7):
        verdict = api.deliver(event)
        seen.append(repr(verdict))
    seen += [repr(api), str(vars(api)), caplog.text, "".join(traceback.format_stack())]
    seen += [*capfd.readouterr()]
    for text in seen:
        assert KEY not in text
        assert SECRET_SUMMARY not in text
    assert BODIES["v2"] == event.body
