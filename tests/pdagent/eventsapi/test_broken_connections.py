"""What connections that fail, break or hang come to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest

from actors.core.verdict import Deferred, Delivered
from actors.ports import OutgoingEvent
from pdagent.eventsapi.client import EventsApi
from tests.pdagent.eventsapi.peers import PATIENCE, Link, Peer

StartPeer = Callable[..., Peer]
MakeClient = Callable[..., EventsApi]


def deferred(verdict: object) -> tuple[str, str]:
    assert isinstance(verdict, Deferred)
    return verdict.reason, verdict.detail


def test_a_refused_port_is_unreachable(client: MakeClient, event: OutgoingEvent) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert deferred(client(f"http://127.0.0.1:{port}").deliver(event)) == (
        "unreachable",
        f"127.0.0.1:{port}: Connection refused",
    )


def test_a_name_that_does_not_resolve_is_unreachable(
    client: MakeClient, event: OutgoingEvent
) -> None:
    for url in ("http://no-such-host.invalid", "https://no-such-host.invalid"):
        reason, detail = deferred(client(url).deliver(event))
        assert reason == "unreachable"
        assert "no-such-host.invalid" in detail
        assert "can't be resolved" in detail


def test_a_name_that_no_resolver_takes_is_unreachable(
    client: MakeClient, event: OutgoingEvent
) -> None:
    assert deferred(client(f"http://{'a' * 70}.test").deliver(event))[0] == "unreachable"


def test_a_connection_that_nobody_accepts_is_unreachable_in_time(
    client: MakeClient, event: OutgoingEvent
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting = []
        for _ in range(8):  # until the backlog is full and the system drops what else comes
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(address)
            waiting.append(sock)
        verdict = client(f"http://127.0.0.1:{address[1]}", connect_timeout=0.3).deliver(event)
        for sock in waiting:
            sock.close()
    assert deferred(verdict) == ("unreachable", f"127.0.0.1:{address[1]}: timed out")
    assert 0.3 <= verdict.seconds < 3


def close(link: Link) -> None:
    link.request()


def reset(link: Link) -> None:
    link.request()
    link.reset()


def close_at_once(link: Link) -> None:
    link.sock.close()


def test_a_connection_that_is_reset_at_once_is_a_failure(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent
) -> None:
    """Whether the reset meets the connect or the request is a matter of chance."""
    verdict = client(peer(Link.reset).url).deliver(event)
    assert deferred(verdict)[0] in ("no_answer", "unreachable")


@pytest.mark.parametrize("script", [close, reset, close_at_once])
def test_a_connection_that_breaks_before_the_answer_is_no_answer(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent, script: Callable[[Link], None]
) -> None:
    server = peer(script)
    assert deferred(client(server.url).deliver(event))[0] == "no_answer"
    assert server.accepted == 1


def test_an_answer_that_does_not_come_in_time_is_no_answer(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent
) -> None:
    server = peer(lambda link: link.answer_requests())
    verdict = client(server.url, read_timeout=0.2).deliver(event)
    assert deferred(verdict) == ("no_answer", "no answer in time")
    assert 0.2 <= verdict.seconds < 3
    assert server.accepted == 1


def test_an_answer_that_trickles_ends_with_the_timeout_as_well(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent
) -> None:
    gone = threading.Event()

    def trickle(link: Link) -> None:
        link.request()
        link.send(b"HTTP/1.1 20")
        while not gone.wait(0.05):
            link.send(b"0")

    server = peer(trickle)
    verdict = client(server.url, read_timeout=0.4).deliver(event)
    gone.set()
    assert deferred(verdict)[0] in ("no_answer", "not_understood")
    assert verdict.seconds < 3


@pytest.mark.parametrize(
    "garbage", [b"SSH-2.0-OpenSSH_9.6\r\n", b"\x15\x03\x01\x00\x02\x02F", b"\x00" * 500]
)
def test_an_answer_that_is_not_http_is_not_understood(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent, garbage: bytes
) -> None:
    server = peer(lambda link: link.answer_requests(garbage))
    assert deferred(client(server.url).deliver(event)) == (
        "not_understood",
        "the answer is not HTTP",
    )


@pytest.mark.parametrize(
    "cut",
    [
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 500\r\n\r\n{",
        b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{",
        b"HTTP/1.1 202 Accepted\r\nContent-Le",
    ],
)
@pytest.mark.parametrize("ending", [Link.reset, lambda _: None], ids=["reset", "close"])
def test_an_event_whose_status_came_is_delivered_though_the_answer_breaks_off(
    peer: StartPeer,
    client: MakeClient,
    event: OutgoingEvent,
    cut: bytes,
    ending: Callable[[Link], None],
) -> None:
    taken = threading.Event()

    def cut_off(link: Link) -> None:
        link.request()
        link.send(cut)
        ending(link)
        taken.set()

    verdict = client(peer(cut_off).url).deliver(event)
    assert isinstance(verdict, Delivered)
    assert verdict.status == 202
    assert taken.wait(PATIENCE)


def test_an_answer_that_stops_behind_its_head_does_not_hold_up_the_next_event(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pdagent.eventsapi.connection._BODY_SECONDS", 0.2)
    server = peer(
        lambda link: link.answer_requests(b"HTTP/1.1 202 OK\r\nContent-Length: 5\r\n\r\n")
    )
    verdict = client(server.url, read_timeout=30).deliver(event)
    assert isinstance(verdict, Delivered)
    assert verdict.seconds < 5
