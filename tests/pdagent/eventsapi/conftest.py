"""Clients and peers that are closed at the end of each test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from actors.ports import OutgoingEvent
from pdagent.eventsapi.client import EventsApi
from pdagent.eventsapi.connection import Address
from tests.pdagent.eventsapi.peers import CERTIFICATES, Peer, Script
from tests.pdagent.eventsapi.samples import an_event, rendered

_SETTINGS = ("PROXY", "CA_BUNDLE", "SSL_CERT", "NETRC")


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if any(part in name.upper() for part in _SETTINGS):
            monkeypatch.delenv(name)


@pytest.fixture
def _localhost_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATES / "localhost.pem"))


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    """Starts peers: `peer(script, certificate=None)`."""
    with ExitStack() as stack:

        def start(script: Script, certificate: str | None = None) -> Peer:
            return stack.enter_context(Peer(script, certificate))

        yield start


@pytest.fixture
def client() -> Iterator[Callable[..., EventsApi]]:
    """Makes clients: `client(url, read_timeout=5.0, connect_timeout=2.0)`."""
    with ExitStack() as stack:

        def make(
            url: str,
            *,
            deliver_via: tuple[Address, ...] = (),
            read_timeout: float = 5.0,
            connect_timeout: float = 2.0,
        ) -> EventsApi:
            api = EventsApi(
                url,
                user_agent="pdagent/test",
                agent_id="agent-1",
                render=rendered,
                deliver_via=deliver_via,
                read_timeout=read_timeout,
                connect_timeout=connect_timeout,
            )
            stack.callback(api.close)
            return api

        yield make


@pytest.fixture
def event() -> OutgoingEvent:
    return an_event("v2")
