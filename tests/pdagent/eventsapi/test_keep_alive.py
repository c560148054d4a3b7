"""One connection for many events, and what happens when it is gone between two of them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import pytest

from actors.core.verdict import Deferred, Delivered
from actors.ports import OutgoingEvent
from pdagent.eventsapi.client import EventsApi
from pdagent.eventsapi.connection import CurrentConnection, LeanConnection
from tests.pdagent.eventsapi.peers import ACCEPTED, ACCEPTED_V1, PATIENCE, Link, Peer, answer
from tests.pdagent.eventsapi.samples import KINDS, an_event

StartPeer = Callable[..., Peer]
MakeClient = Callable[..., EventsApi]

pytestmark = pytest.mark.usefixtures("_localhost_is_trusted")

TRANSPORTS = [None, "localhost.pem"]
LONG = b'{"routing_key":"","filler":"%b"}' % (b"x" * 16_000_000)
"""More than the buffers of a loopback connection hold."""


@pytest.fixture(params=TRANSPORTS, ids=["plain", "tls"])
def certificate(request: pytest.FixtureRequest) -> str | None:
    name: str | None = request.param
    return name


def closed_by_peer(server: Peer) -> None:
    """Wait until the script of a connection is over, and so the connection."""
    assert server.done.wait(PATIENCE)
    server.done.clear()


def test_all_kinds_of_events_share_one_connection(
    peer: StartPeer, client: MakeClient, certificate: str | None
) -> None:
    server = peer(lambda link: link.answer_requests(*[ACCEPTED_V1] * 30), certificate)
    api = client(server.url)
    for _ in range(10):
        for kind in KINDS:
            assert isinstance(api.deliver(an_event(kind)), Delivered)
    assert server.accepted == 1


def test_a_connection_that_the_peer_closed_meanwhile_is_replaced_without_a_trace(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent, certificate: str | None
) -> None:
    def answer_once(link: Link) -> None:
        if link.request() is not None:
            link.send(ACCEPTED)

    server = peer(answer_once, certificate)
    api = client(server.url)
    for number in range(1, 5):
        assert isinstance(api.deliver(event), Delivered)
        closed_by_peer(server)
        assert server.accepted == number
    assert len(server.requests) == 4


def test_a_connection_that_the_peer_reset_meanwhile_is_replaced_without_a_trace(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent, certificate: str | None
) -> None:
    def answer_and_reset(link: Link) -> None:
        if link.request() is not None:
            link.send(ACCEPTED)
            go_on.wait(PATIENCE)
            link.reset()

    go_on = threading.Event()
    server = peer(answer_and_reset, certificate)
    api = client(server.url)
    assert isinstance(api.deliver(event), Delivered)
    go_on.set()
    closed_by_peer(server)
    assert isinstance(api.deliver(event), Delivered)
    assert len(server.requests) == 2


def test_a_connection_that_is_closed_with_the_answer_is_replaced(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent, certificate: str | None
) -> None:
    server = peer(
        lambda link: link.answer_requests(answer(202, b"{}", "Connection: close")), certificate
    )
    api = client(server.url)
    for number in range(1, 4):
        assert isinstance(api.deliver(event), Delivered)
        assert server.accepted == number


def test_an_unasked_answer_on_an_idle_connection_is_not_taken_for_that_of_the_next_event(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent
) -> None:
    """Some load balancers say 408 on an idle connection, then close it."""
    said = threading.Event()

    def say_timeout(link: Link) -> None:
        link.request()
        link.send(ACCEPTED)
        if link.number == 1:
            delivered.wait(PATIENCE)
            link.send(answer(408))
            said.set()

    delivered = threading.Event()
    api = client(peer(say_timeout).url)
    assert isinstance(api.deliver(event), Delivered)
    delivered.set()
    assert said.wait(PATIENCE)
    assert isinstance(api.deliver(event), Delivered)


def test_a_request_that_reached_the_peer_is_not_repeated(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent, certificate: str | None
) -> None:
    def take_the_second_and_close(link: Link) -> None:
        link.request()
        link.send(ACCEPTED)
        link.request()

    server = peer(take_the_second_and_close, certificate)
    api = client(server.url)
    assert isinstance(api.deliver(event), Delivered)
    verdict = api.deliver(event)
    assert isinstance(verdict, Deferred)
    assert verdict.reason == "no_answer"
    assert (len(server.requests), server.accepted) == (2, 1)


def drop_the_second(link: Link) -> None:
    """On the first connection take one request, then only the beginning of another."""
    link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    if link.number > 1:
        return link.answer_requests(ACCEPTED)
    link.request()
    link.send(ACCEPTED)
    link.sock.recv(100)
    return link.reset()


def test_a_request_cut_off_on_a_kept_alive_connection_is_sent_again_on_a_new_one(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent, certificate: str | None
) -> None:
    """Its last bytes never left: the peer can't have acted on it."""
    server = peer(drop_the_second, certificate)
    api = client(server.url)
    assert isinstance(api.deliver(event), Delivered)
    assert isinstance(api.deliver(an_event("v2", LONG)), Delivered)
    assert (len(server.requests), server.accepted) == (2, 2)


def test_a_long_request_gets_to_a_peer_that_is_slow_to_read(
    peer: StartPeer, client: MakeClient, certificate: str | None
) -> None:
    def read_late(link: Link) -> None:
        link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        link.request()
        link.send(ACCEPTED)
        time.sleep(0.1)  # the request does not fit into the buffers meanwhile
        link.answer_requests(ACCEPTED, ACCEPTED)

    server = peer(read_late, certificate)
    api = client(server.url)
    for body in (None, LONG, None):
        assert isinstance(api.deliver(an_event("v2", body)), Delivered)
    assert [len(request) > len(LONG) for request in server.requests] == [False, True, False]
    assert server.accepted == 1


def test_a_request_cut_off_on_a_new_connection_is_no_answer(
    peer: StartPeer, client: MakeClient, certificate: str | None
) -> None:
    def drop(link: Link) -> None:
        link.sock.recv(100)
        link.reset()

    server = peer(drop, certificate)
    verdict = client(server.url).deliver(an_event("v2", LONG))
    assert isinstance(verdict, Deferred)
    assert verdict.reason == "no_answer"
    assert server.accepted == 1


def test_an_answer_to_a_request_that_was_not_read_to_its_end_counts(
    peer: StartPeer, client: MakeClient
) -> None:
    def refuse_early(link: Link) -> None:
        link.sock.recv(100)
        link.send(answer(413, b'{"message":"too long"}', "Connection: close"))
        link.sock.shutdown(socket.SHUT_WR)
        link.wait_for_close()

    verdict = client(peer(refuse_early).url).deliver(an_event("v2", LONG))
    assert getattr(verdict, "reason", None) == "http_413"
    assert getattr(verdict, "detail", None) == "too long"


def test_a_connection_that_was_idle_for_too_long_is_replaced(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = peer(lambda link: link.answer_requests(ACCEPTED, ACCEPTED))
    api = client(server.url)
    api.deliver(event)
    monkeypatch.setattr("pdagent.eventsapi.connection._IDLE_SECONDS", 0.0)
    assert isinstance(api.deliver(event), Delivered)
    assert server.accepted == 2


def test_after_a_failure_the_next_event_has_a_new_connection(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent
) -> None:
    def fail_first(link: Link) -> None:
        if link.number == 1:
            link.request()
        else:
            link.answer_requests(ACCEPTED)

    api = client(peer(fail_first).url)
    assert isinstance(api.deliver(event), Deferred)
    assert isinstance(api.deliver(event), Delivered)


def test_a_closed_client_never_connects_again(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent, certificate: str | None
) -> None:
    server = peer(lambda link: link.answer_requests(ACCEPTED), certificate)
    api = client(server.url)
    assert isinstance(api.deliver(event), Delivered)
    for _ in range(2):
        api.close()
        verdict = api.deliver(event)
        assert isinstance(verdict, Deferred)
        assert verdict.reason == "no_answer"
    closed_by_peer(server)
    assert server.accepted == 1


@pytest.mark.parametrize(
    ("owner", "name", "is_connected"),
    [
        (socket, "getaddrinfo", False),
        (LeanConnection, "send_event", True),
        (CurrentConnection, "take", True),  # it hangs behind the last check, before the write
    ],
    ids=["name", "connection", "write"],
)
def test_a_delivery_that_hangs_before_the_write_never_writes_once_the_client_is_closed(
    peer: StartPeer,
    client: MakeClient,
    event: OutgoingEvent,
    certificate: str | None,
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    name: str,
    is_connected: bool,
) -> None:
    """It would reopen an incident that was resolved while the sender was hanging."""
    hanging, go_on = threading.Event(), threading.Event()
    original = getattr(owner, name)

    def hang(*args: object, **kwargs: object) -> object:
        result = original(*args, **kwargs) if owner is CurrentConnection else None
        hanging.set()
        assert go_on.wait(PATIENCE)
        return result if owner is CurrentConnection else original(*args, **kwargs)

    server = peer(lambda link: link.answer_requests(ACCEPTED, ACCEPTED), certificate)
    api = client(server.url)
    if is_connected:
        assert isinstance(api.deliver(event), Delivered)
    monkeypatch.setattr(owner, name, hang)
    verdicts: list[object] = []
    thread = threading.Thread(target=lambda: verdicts.append(api.deliver(event)))
    thread.start()
    assert hanging.wait(PATIENCE)
    api.close()
    go_on.set()
    thread.join(PATIENCE)
    assert isinstance(verdicts[0], Deferred)
    closed_by_peer(server)
    assert len(server.requests) == int(is_connected)


def test_closing_ends_a_delivery_that_waits_in_another_thread(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent, certificate: str | None
) -> None:
    waiting = threading.Event()

    def hang(link: Link) -> None:
        link.request()
        waiting.set()
        link.wait_for_close()

    api = client(peer(hang, certificate).url, read_timeout=60)
    verdicts: list[object] = []
    thread = threading.Thread(target=lambda: verdicts.append(api.deliver(event)))
    thread.start()
    assert waiting.wait(PATIENCE)
    api.close()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert isinstance(verdicts[0], Deferred)
    assert verdicts[0].reason == "no_answer"
    assert verdicts[0].seconds < PATIENCE


def test_a_dead_peer_is_noticed_by_the_system(
    peer: StartPeer,
    client: MakeClient,
    event: OutgoingEvent,
    certificate: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: dict[str, int] = {}
    read = LeanConnection.receive_answer

    def look(self: LeanConnection) -> object:
        for name in ("TCP_NODELAY", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"):
            found[name] = self.sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
        found["SO_KEEPALIVE"] = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            number = socket.TCP_USER_TIMEOUT
            found["TCP_USER_TIMEOUT"] = self.sock.getsockopt(socket.IPPROTO_TCP, number)
        return read(self)

    monkeypatch.setattr(LeanConnection, "receive_answer", look)
    server = peer(lambda link: link.answer_requests(ACCEPTED), certificate)
    assert isinstance(client(server.url).deliver(event), Delivered)
    assert found["SO_KEEPALIVE"]
    assert found["TCP_NODELAY"]
    silence = found["TCP_KEEPIDLE"] + found["TCP_KEEPINTVL"] * found["TCP_KEEPCNT"]
    assert 10 <= silence <= 15
    assert 10_000 <= found.get("TCP_USER_TIMEOUT", 12_000) <= 15_000


def test_the_length_of_an_attempt_is_that_of_the_clock(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent
) -> None:
    server = peer(lambda link: link.answer_requests(ACCEPTED))
    started = time.perf_counter()
    verdict = client(server.url).deliver(event)
    assert 0 < verdict.seconds <= time.perf_counter() - started
