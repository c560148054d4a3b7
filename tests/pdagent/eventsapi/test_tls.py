"""TLS: whom the client trusts, and what failed handshakes come to."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.core.verdict import Deferred, Delivered
from actors.ports import OutgoingEvent
from pdagent.eventsapi.client import EventsApi
from tests.pdagent.eventsapi.peers import (
    ACCEPTED,
    CERTIFICATES,
    Link,
    Peer,
    server_context,
)

StartPeer = Callable[..., Peer]
MakeClient = Callable[..., EventsApi]

LOCALHOST = CERTIFICATES / "localhost.pem"


def accept(link: Link) -> None:
    link.answer_requests(ACCEPTED, ACCEPTED)


def unreachable(verdict: object) -> str:
    assert isinstance(verdict, Deferred)
    assert verdict.reason == "unreachable"
    return verdict.detail


def test_an_unknown_certificate_is_unreachable(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent
) -> None:
    server = peer(accept, "localhost.pem")
    detail = unreachable(client(server.url).deliver(event))
    assert detail.startswith(f"127.0.0.1:{server.port}: TLS certificate not accepted: self")
    assert server.requests == []


def test_a_certificate_for_another_name_is_unreachable(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATES / "elsewhere.pem"))
    server = peer(accept, "elsewhere.pem")
    assert "not valid for" in unreachable(client(server.url).deliver(event))
    assert server.requests == []


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_bundle_named_by_the_environment_is_trusted(
    peer: StartPeer,
    client: MakeClient,
    event: OutgoingEvent,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.setenv(name, str(LOCALHOST))
    assert isinstance(client(peer(accept, "localhost.pem").url).deliver(event), Delivered)


# `openssl x509 -hash`: under this name OpenSSL finds the certificate in a directory.
LOCALHOST_HASH = "ce275665.0"


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "SSL_CERT_DIR"])
def test_a_directory_named_by_the_environment_is_trusted(
    peer: StartPeer,
    client: MakeClient,
    event: OutgoingEvent,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
) -> None:
    shutil.copy(LOCALHOST, tmp_path / LOCALHOST_HASH)
    monkeypatch.setenv(name, str(tmp_path))
    assert isinstance(client(peer(accept, "localhost.pem").url).deliver(event), Delivered)


def test_the_variables_of_requests_come_before_those_of_openssl(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATES / "elsewhere.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(LOCALHOST))
    unreachable(client(peer(accept, "localhost.pem").url).deliver(event))


def test_a_directory_of_certificates_that_is_missing_is_named(
    client: MakeClient, event: OutgoingEvent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    detail = unreachable(client("https://127.0.0.1:9").deliver(event))
    assert detail == f"SSL_CERT_DIR: {tmp_path / 'none'}: No such directory"


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_bundle_that_is_missing_or_useless_is_unreachable_until_it_is_there(
    peer: StartPeer,
    client: MakeClient,
    event: OutgoingEvent,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
) -> None:
    bundle = tmp_path / "bundle.pem"
    monkeypatch.setenv(name, str(bundle))
    api = client(peer(accept, "localhost.pem").url)
    assert unreachable(api.deliver(event)) == f"{name}: {bundle}: No such file or directory"
    bundle.write_text("no certificate")
    detail = unreachable(api.deliver(event))
    assert detail == f"{name}: {bundle}: not a file of certificates in PEM format"
    shutil.copy(LOCALHOST, bundle)
    assert isinstance(api.deliver(event), Delivered)


def test_a_bundle_is_read_again_when_it_has_changed_and_the_peer_was_not_trusted(
    peer: StartPeer,
    client: MakeClient,
    event: OutgoingEvent,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    bundle = tmp_path / "bundle.pem"
    shutil.copy(CERTIFICATES / "elsewhere.pem", bundle)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    api = client(peer(accept, "localhost.pem").url)
    unreachable(api.deliver(event))
    shutil.copy(LOCALHOST, bundle)
    assert isinstance(api.deliver(event), Delivered)


def test_a_bundle_is_not_read_for_each_connection(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(LOCALHOST))
    loaded = []
    load = ssl.SSLContext.load_verify_locations

    def count(context: ssl.SSLContext, *args: str | None) -> None:
        loaded.append(args)
        load(context, *args)

    def answer_once(link: Link) -> None:
        if link.request():
            link.send(ACCEPTED)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", count)
    server = peer(answer_once, "localhost.pem")
    api = client(server.url)
    for _ in range(3):
        assert isinstance(api.deliver(event), Delivered)
        assert server.done.wait(10)
        server.done.clear()
    assert server.accepted == 3
    assert len(loaded) == 1


def test_plain_http_spoken_to_a_tls_client_is_unreachable(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent
) -> None:
    def speak_first(link: Link) -> None:
        link.sock.recv(100)
        link.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        link.wait_for_close()

    server = peer(speak_first)
    verdict = client(server.url.replace("http:", "https:")).deliver(event)
    assert "TLS failed: wrong version number" in unreachable(verdict)


@pytest.mark.parametrize("hasty", [True, False])
@pytest.mark.parametrize("reset", [True, False])
def test_a_handshake_that_breaks_off_is_unreachable(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent, reset: bool, hasty: bool
) -> None:
    """Not "no answer": firewalls treat names so that they do not like, whatever the event."""

    def break_off(link: Link) -> None:
        if not hasty:
            link.sock.recv(4096)
        if reset:
            link.reset()

    server = peer(break_off)
    unreachable(client(server.url.replace("http:", "https:")).deliver(event))
    assert server.accepted == 1


def test_a_handshake_that_does_not_go_on_is_unreachable_in_time(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent
) -> None:
    server = peer(Link.wait_for_close)
    api = client(server.url.replace("http:", "https:"), connect_timeout=0.2)
    verdict = api.deliver(event)
    assert "timed out" in unreachable(verdict)
    assert verdict.seconds < 3


def test_a_server_that_wants_a_certificate_of_ours_is_unreachable(
    client: MakeClient, event: OutgoingEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS 1.3 refuses a client only after the handshake, in the place of an answer."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(LOCALHOST))

    def linger(link: Link) -> None:
        link.wait_for_close()

    server = Peer(linger, "localhost.pem")
    context = server_context("localhost.pem")
    context.load_verify_locations(LOCALHOST)
    context.verify_mode = ssl.CERT_REQUIRED
    server.tls = context
    with server:
        detail = unreachable(client(server.url).deliver(event))
    assert "TLS" in detail


def test_tls_spoken_to_a_plain_client_is_not_understood(
    peer: StartPeer, client: MakeClient, event: OutgoingEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = peer(accept, "localhost.pem")
    verdict = client(server.url.replace("https:", "http:")).deliver(event)
    assert isinstance(verdict, Deferred)
    assert verdict.reason in ("not_understood", "no_answer")
