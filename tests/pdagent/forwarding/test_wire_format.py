"""What a host sends to a relay and what it relies on in the answer, to the byte.

Hosts and relays are upgraded one after the other: a host of the version before talks to a relay of
this one, and the other way round. A change here breaks them. New headers and new fields may be
added; whoever reads them must do without.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.core.verdict import Deferred, Delivered, Rejected, Verdict
from actors.ports import OutgoingEvent
from pdagent.agent.outlet import Outlet
from pdagent.config import Config
from pdagent.forwarding.choice import RelayChoice
from pdagent.forwarding.forwarder import Forwarder
from tests.pdagent.eventsapi.peers import Link, Peer

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"
SECRET = "correct-horse"


class Relay:
    """Says what it is told to, and has what it was sent."""

    def __init__(self) -> None:
        self.answer = (202, '{"status":"success"}', "")
        self.restarts = False
        self.peer = Peer(self._serve)

    def _serve(self, link: Link) -> None:
        while link.request() is not None and not self.restarts:
            status, body, more = self.answer
            link.send(
                f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{more}\r\n{body}".encode()
            )


@pytest.fixture
def relays() -> Iterator[tuple[Relay, Relay]]:
    first, second = Relay(), Relay()
    with first.peer, second.peer:
        yield first, second


def forwarder(*relays: Relay) -> tuple[Forwarder, RelayChoice]:
    urls = tuple(relay.peer.url for relay in relays)
    outlet = Outlet(Config(relays=urls, relay_secret=SECRET), "HOST1")
    port = outlet.port()
    assert isinstance(port, Forwarder) and outlet.relays is not None
    return port, outlet.relays


def event(kind: str = "v2", **more: object) -> OutgoingEvent:
    name = "service_key" if kind == "v1" else "routing_key"
    given = {"kind": kind, "routing_key": KEY, "body": f'{{"{name}":"","a":1}}'.encode()}
    return OutgoingEvent(event_id="EVENT1", **{**given, **more})  # type: ignore[arg-type]


PATHS = {
    "v1": "/generic/2010-04-15/create_event.json",
    "v2": "/v2/enqueue",
    "change": "/v2/change/enqueue",
}


@pytest.mark.parametrize("kind", PATHS)
def test_the_request_of_each_kind(kind: str, relays: tuple[Relay, Relay]) -> None:
    relay, _ = relays
    if kind == "v1":
        relay.answer = (200, '{"status":"success"}', "")
    port, _ = forwarder(relay)
    name = "service_key" if kind == "v1" else "routing_key"
    body = f'{{"{name}":"{KEY}","a":1}}'
    for further in ({}, {"passed": ("HOST0",), "occurred_at": 1790000000.25}):
        assert isinstance(port.deliver(event(kind, **further)), Delivered)
    first, second = (request.decode().split("\r\n") for request in relay.peer.requests)
    agent = next(line for line in first if line.startswith("User-Agent: pdagent/"))
    assert first == [
        f"POST {PATHS[kind]} HTTP/1.1",
        f"Host: 127.0.0.1:{relay.peer.port}",
        agent,
        "Pd-Agent-Id: HOST1",
        "Content-Type: application/json",
        "Accept: application/json",
        "Accept-Encoding: identity",
        f"Authorization: token {SECRET}",
        "Idempotency-Key: EVENT1",
        f"Content-Length: {len(body)}",
        "",
        body,
    ]
    assert set(second) - set(first) == {
        "Pd-Agent-Id: HOST1,HOST0",
        "Pd-Occurred-At: 1790000000.25",
    }


def deferred(verdict: Verdict, reason: str) -> str:
    assert isinstance(verdict, Deferred)
    assert verdict.reason == reason
    return verdict.detail


@pytest.mark.parametrize(
    ("kind", "status", "body", "reason", "detail"),
    [
        # Another relay may take it; all keys wait together, and no event is to blame.
        ("v2", 503, '{"status":"service unavailable","owner":null}', "unreachable", "HTTP 503"),
        ("v2", 401, '{"status":"service unavailable","message":"no"}', "unreachable", "401: no"),
        ("v2", 403, '{"status":"service unavailable","message":"no"}', "unreachable", "403: no"),
        ("v2", 502, "", "unreachable", "HTTP 502"),
        # This key waits, without pacing.
        ("v2", 503, '{"status":"service unavailable"}', "refused_for_now", "HTTP 503"),
        ("v2", 429, '{"status":"throttle exceeded"}', "refused_for_now", "HTTP 429"),
        ("v1", 403, '{"status":"throttle exceeded"}', "refused_for_now", "HTTP 403"),
        # As with PagerDuty.
        ("v2", 500, '{"status":"service unavailable"}', "server_error", "HTTP 500"),
        ("v2", 508, '{"status":"service unavailable","errors":["round"]}', "loop", "round"),
        # Not a relay's words.
        ("v2", 404, '{"status":404,"message":"no"}', "not_understood", "HTTP 404"),
        ("v2", 403, "<html>", "not_understood", "HTTP 403"),
        ("v2", 202, "<html>", "not_understood", "HTTP 202"),
        ("v2", 400, '{"error":"bad"}', "not_understood", "HTTP 400"),
    ],
)
def test_what_is_no_fault_of_the_event(
    kind: str, status: int, body: str, reason: str, detail: str, relays: tuple[Relay, Relay]
) -> None:
    relay, _ = relays
    relay.answer = (status, body, "Retry-After: 300\r\n")
    port, _ = forwarder(relay)
    verdict = port.deliver(event(kind))
    said = deferred(verdict, reason)
    assert detail in said and relay.peer.url in said
    assert isinstance(verdict, Deferred)
    if reason in ("unreachable", "refused_for_now"):
        assert verdict.retry_after is not None and verdict.retry_after <= 12.5


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_ends_an_event(status: int, relays: tuple[Relay, Relay]) -> None:
    relay, _ = relays
    body = '{"status":"invalid event","message":"Event object is invalid","errors":["severity"]}'
    relay.answer = (status, body, "")
    verdict = forwarder(relay)[0].deliver(event())
    assert isinstance(verdict, Rejected)
    assert (verdict.reason, verdict.detail) == (
        f"http_{status}",
        "Event object is invalid: severity",
    )


def test_a_standby_names_the_owner_and_the_host_goes_there(relays: tuple[Relay, Relay]) -> None:
    standby, owner = relays
    standby.answer = (503, f'{{"status":"x","owner":"{owner.peer.url}/"}}', "")
    port, choice = forwarder(standby, owner)
    for _ in range(2):
        assert isinstance(port.deliver(event()), Delivered)
    assert (choice.current, choice.switches) == (owner.peer.url, 1)
    assert len(standby.peer.requests) == 1, "it keeps to the relay that took the last event"


def test_a_relay_that_closes_its_connections_is_tried_again_at_once(
    relays: tuple[Relay, Relay],
) -> None:
    owner, standby = relays
    owner.restarts = True
    standby.answer = (503, '{"status":"x","owner":null}', "")
    port, _ = forwarder(owner, standby)
    deferred(port.deliver(event()), "unreachable")
    owner.restarts = False
    assert isinstance(port.deliver(event()), Delivered), "only silence is a reason to avoid it"


def test_an_owner_that_is_no_relay_of_this_host_gets_nothing(relays: tuple[Relay, Relay]) -> None:
    standby, stranger = relays
    standby.answer = (503, f'{{"status":"x","owner":"{stranger.peer.url}"}}', "")
    port, _ = forwarder(standby)
    deferred(port.deliver(event()), "unreachable")
    assert stranger.peer.requests == []


def test_the_relay_says_whether_it_knew_the_event(relays: tuple[Relay, Relay]) -> None:
    relay, _ = relays
    port, _ = forwarder(relay)
    port.deliver(event())
    assert not port.repeated
    relay.answer = (202, '{"status":"success","repeated":true}', "")
    port.deliver(event())
    assert port.repeated


def test_a_missing_certificate_file_is_named(tmp_path: Path) -> None:
    config = Config(
        relays=("https://127.0.0.1:9",), relay_secret=SECRET, relay_ca=tmp_path / "none.pem"
    )
    verdict = Outlet(config, "HOST1").port().deliver(event())
    assert "relay_ca" in deferred(verdict, "unreachable")
