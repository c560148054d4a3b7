"""Proxies of the environment: used, passed by, refusing and failing."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from collections.abc import Callable

import pytest

from actors.core.verdict import Deferred, Delivered
from actors.ports import OutgoingEvent
from pdagent.eventsapi.client import EventsApi
from tests.pdagent.eventsapi.peers import ACCEPTED, ACCEPTED_V1, Link, Peer, answer
from tests.pdagent.eventsapi.samples import KINDS, an_event

StartPeer = Callable[..., Peer]
MakeClient = Callable[..., EventsApi]

pytestmark = pytest.mark.usefixtures("_localhost_is_trusted")


def accept(link: Link) -> None:
    link.answer_requests(*[ACCEPTED_V1] * 10)  # right for all kinds of events


def tunnel(link: Link) -> None:
    """A proxy that does what CONNECT asks for."""
    request = link.request()
    if request is None:
        return
    host, _, port = request.split(b" ")[1].decode().partition(":")
    with socket.create_connection((host, int(port))) as there:
        link.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = threading.Thread(target=pump, args=(there, link.sock), daemon=True)
        back.start()
        pump(link.sock, there)
        back.join()


def pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while received := source.recv(65_536):
            sink.sendall(received)
    for sock in (source, sink):
        with contextlib.suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)


def refuse(status: int) -> Callable[[Link], None]:
    return lambda link: link.answer_requests(answer(status, b"<html>no</html>"))


def test_https_goes_through_a_tunnel_that_is_kept_alive(
    peer: StartPeer, client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, proxy = peer(accept, "localhost.pem"), peer(tunnel)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("://", "://user:s%20cret@"))
    api = client(server.url)
    for kind in KINDS:
        assert isinstance(api.deliver(an_event(kind)), Delivered)
    assert (server.accepted, proxy.accepted, len(proxy.requests)) == (1, 1, 1)
    assert proxy.requests[0].startswith(f"CONNECT 127.0.0.1:{server.port} HTTP".encode())
    assert base64.b64encode(b"user:s cret") in proxy.requests[0]
    assert b"Proxy-Authorization" not in server.requests[0]


def test_a_tunnel_that_was_closed_meanwhile_is_dug_again(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer_once(link: Link) -> None:
        if link.request():
            link.send(ACCEPTED)

    server, proxy = peer(answer_once, "localhost.pem"), peer(tunnel)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    api = client(server.url)
    for number in range(1, 4):
        assert isinstance(api.deliver(event), Delivered)
        assert proxy.done.wait(10)
        proxy.done.clear()
        assert server.accepted == number


def test_https_goes_through_a_proxy_that_speaks_tls_itself(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, proxy = peer(accept, "localhost.pem"), peer(tunnel, "localhost.pem")
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    api = client(server.url)
    assert isinstance(api.deliver(event), Delivered)
    assert isinstance(api.deliver(event), Delivered)
    assert len(proxy.requests) == 1


@pytest.mark.parametrize("certificate", [None, "localhost.pem"])
def test_plain_http_is_handed_to_the_proxy_with_the_whole_url(
    peer: StartPeer,
    client: MakeClient,
    event: OutgoingEvent,
    monkeypatch: pytest.MonkeyPatch,
    certificate: str | None,
) -> None:
    proxy = peer(accept, certificate)
    monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("://", "://user:pass@"))
    api = client("http://events.test")
    assert isinstance(api.deliver(event), Delivered)
    assert isinstance(api.deliver(event), Delivered)
    assert proxy.accepted == 1
    for request in proxy.requests:
        assert request.startswith(b"POST http://events.test/v2/enqueue HTTP/1.1\r\n")
        assert b"\r\nHost: events.test\r\n" in request
        assert b"Proxy-Authorization: Basic " + base64.b64encode(b"user:pass") in request


@pytest.mark.parametrize("excepted", ["127.0.0.1", "*"])
def test_no_proxy_is_honoured(
    peer: StartPeer,
    client: MakeClient,
    event: OutgoingEvent,
    monkeypatch: pytest.MonkeyPatch,
    excepted: str,
) -> None:
    server, proxy = peer(accept), peer(refuse(502))
    monkeypatch.setenv("ALL_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", excepted)
    assert isinstance(client(server.url).deliver(event), Delivered)
    assert proxy.accepted == 0


def unreachable(verdict: object) -> str:
    assert isinstance(verdict, Deferred)
    assert verdict.reason == "unreachable"
    assert "pass" not in verdict.detail
    return verdict.detail


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_connections_is_unreachable(
    client: MakeClient, event: OutgoingEvent, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("ALL_PROXY", f"http://user:pass@127.0.0.1:{port}")
    detail = unreachable(client(f"{scheme}://events.test").deliver(event))
    assert detail == f"proxy 127.0.0.1:{port}: Connection refused"


def test_a_proxy_whose_name_does_not_resolve_is_unreachable(
    client: MakeClient, event: OutgoingEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://user:pass@no-such-host.invalid:3128")
    detail = unreachable(client("https://events.test").deliver(event))
    assert detail.startswith("proxy no-such-host.invalid:3128: the name can't be resolved")


@pytest.mark.parametrize("status", [302, 403, 407, 502, 503])
def test_a_proxy_that_refuses_to_connect_is_unreachable(
    peer: StartPeer,
    client: MakeClient,
    event: OutgoingEvent,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
) -> None:
    proxy = peer(refuse(status))
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    detail = unreachable(client("https://events.test").deliver(event))
    assert detail == f"proxy 127.0.0.1:{proxy.port}: CONNECT refused with HTTP {status}"


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_proxy_that_breaks_off_or_talks_nonsense_is_unreachable(
    peer: StartPeer,
    client: MakeClient,
    event: OutgoingEvent,
    monkeypatch: pytest.MonkeyPatch,
    said: bytes,
) -> None:
    def talk(link: Link) -> None:
        link.request()
        link.send(said)

    monkeypatch.setenv("HTTPS_PROXY", peer(talk).url)
    unreachable(client("https://events.test").deliver(event))


def test_a_proxy_that_does_not_answer_is_unreachable_in_time(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", peer(Link.wait_for_close).url)
    verdict = client("https://events.test", connect_timeout=0.2).deliver(event)
    assert "timed out" in unreachable(verdict)
    assert verdict.seconds < 3


def test_a_proxy_that_wants_a_password_for_plain_http_is_unreachable(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 407 is the proxy's, never PagerDuty's: no event may be given up for it."""
    monkeypatch.setenv("HTTP_PROXY", peer(refuse(407)).url)
    assert unreachable(client("http://events.test").deliver(event)) == "proxy: HTTP 407"


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY", "https_proxy"])
@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://", "not a valid URL: write http://USER:PASSWORD@HOST:PORT"),
        ("http://[::1", "not a valid URL"),
        ("http://x:port", "not a valid URL"),
        ("http://user:p@ss:w/rd@127.0.0.1:3128", "not a valid URL"),
        ("http://user:12/pass@127.0.0.1:3128", "not a valid URL"),
        ("user:12#pass@127.0.0.1:3128", "not a valid URL"),
        ("http://user:pass\u2014@127.0.0.1:3128", "not a valid URL"),
        ("nonsense://user:pass@x:1", "a proxy's URL begins with http:// or https://"),
        ("socks5://user:pass@127.0.0.1:1080", "SOCKS proxies are not supported"),
        ("SOCKS5H://127.0.0.1:1080", "SOCKS proxies are not supported"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_unreachable_and_its_setting_named(
    client: MakeClient,
    event: OutgoingEvent,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    url: str,
    problem: str,
) -> None:
    monkeypatch.setenv(variable, url)
    detail = unreachable(client("https://events.test").deliver(event))
    assert detail.startswith(f"{variable}: {problem}")
    assert not any(part in detail for part in ("ss:w", "w/rd", "12", "127.0"))


@pytest.mark.parametrize("excepted", ["[::1", "10.0.0.0/99", "http://x/y", "\u2014", ",,", "a/b/c"])
def test_an_odd_no_proxy_does_no_harm(
    peer: StartPeer,
    client: MakeClient,
    event: OutgoingEvent,
    monkeypatch: pytest.MonkeyPatch,
    excepted: str,
) -> None:
    monkeypatch.setenv("NO_PROXY", excepted)
    assert isinstance(client(peer(accept).url).deliver(event), Delivered)


def test_a_proxy_name_that_is_too_long_is_no_valid_name(
    client: MakeClient, event: OutgoingEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:pass@{'a' * 64}:3128")
    assert "name is not valid" in unreachable(client("https://events.test").deliver(event))


def test_an_answer_that_breaks_off_behind_a_tunnel_is_no_answer(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_and_close(link: Link) -> None:
        link.request()

    server, proxy = peer(take_and_close, "localhost.pem"), peer(tunnel)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    verdict = client(server.url).deliver(event)
    assert isinstance(verdict, Deferred)
    assert verdict.reason == "no_answer"
    assert len(server.requests) == 1


def test_the_environment_is_looked_up_once_and_again_after_an_outage(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = peer(refuse(407))
    monkeypatch.setenv("ALL_PROXY", proxy.url)
    api = client(peer(accept).url)
    unreachable(api.deliver(event))
    monkeypatch.delenv("ALL_PROXY")
    assert isinstance(api.deliver(event), Delivered)
    monkeypatch.setenv("ALL_PROXY", proxy.url)
    assert isinstance(api.deliver(event), Delivered)
    assert proxy.accepted == 1


def test_netrc_plays_no_part(
    peer: StartPeer,
    client: MakeClient,
    event: OutgoingEvent,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    netrc = tmp_path_factory.mktemp("home") / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password pass\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server = peer(accept)
    client(server.url).deliver(event)
    assert b"authorization" not in server.requests[0].lower()
