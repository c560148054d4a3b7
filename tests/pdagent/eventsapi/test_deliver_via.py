"""`deliver_via`: addresses to connect to instead of resolving the name of `events_url`."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from actors.core.verdict import Deferred, Delivered
from actors.ports import OutgoingEvent
from pdagent.eventsapi.client import EventsApi
from tests.pdagent.eventsapi.peers import ACCEPTED, Link, Peer

StartPeer = Callable[..., Peer]
MakeClient = Callable[..., EventsApi]

NOT_RESOLVED = "http://events.invalid"


def accept(link: Link) -> None:
    link.answer_requests(ACCEPTED, ACCEPTED)


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_the_first_address_that_works_is_used_and_the_name_not_resolved(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent, closed_port: int
) -> None:
    server, other = peer(accept), peer(accept)
    ports = (closed_port, server.port, other.port)
    api = client(NOT_RESOLVED, deliver_via=tuple(("127.0.0.1", port) for port in ports))
    assert isinstance(api.deliver(event), Delivered)
    assert isinstance(api.deliver(event), Delivered)
    assert b"\r\nHost: events.invalid\r\n" in server.requests[0]
    assert (server.accepted, len(server.requests), other.accepted) == (1, 2, 0)


def test_without_a_port_that_of_the_url_is_dialled(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent
) -> None:
    server = peer(accept)
    api = client(f"{NOT_RESOLVED}:{server.port}", deliver_via=(("127.0.0.1", None),))
    assert isinstance(api.deliver(event), Delivered)


@pytest.mark.usefixtures("_localhost_is_trusted")
def test_the_certificate_has_to_be_for_the_name_and_the_next_address_is_tried(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent
) -> None:
    wrong, right = peer(accept, "elsewhere.pem"), peer(accept, "localhost.pem")
    named: list[str | None] = []
    assert right.tls is not None
    right.tls.sni_callback = lambda _socket, name, _context: named.append(name)
    addresses = (("127.0.0.1", wrong.port), ("127.0.0.1", right.port))
    api = client("https://localhost", deliver_via=addresses)
    assert isinstance(api.deliver(event), Delivered)
    assert wrong.requests == []
    assert named == ["localhost"]
    verdict = client("https://events.invalid", deliver_via=addresses).deliver(event)
    assert isinstance(verdict, Deferred)
    assert verdict.reason == "unreachable"
    assert verdict.detail.startswith(f"events.invalid at 127.0.0.1:{right.port}: TLS certificate")
    assert len(right.requests) == 1


def test_a_proxy_is_not_used(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, proxy = peer(accept), peer(accept)
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    api = client(NOT_RESOLVED, deliver_via=(("127.0.0.1", server.port),))
    assert isinstance(api.deliver(event), Delivered)
    assert proxy.accepted == 0
    assert server.requests[0].startswith(b"POST /v2/enqueue HTTP/1.1\r\n")


def test_once_closed_no_further_address_is_dialled(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent, closed_port: int
) -> None:
    server = peer(accept)
    addresses = (("127.0.0.1", closed_port), ("127.0.0.1", server.port))
    api = client(NOT_RESOLVED, deliver_via=addresses)
    api.close()
    assert isinstance(api.deliver(event), Deferred)
    assert server.accepted == 0
