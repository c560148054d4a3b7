"""The lease is looked at right before each request is written."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from actors.core.verdict import Deferred, Delivered
from pdagent.eventsapi.client import EventsApi
from pdagent.relay.leased import LeasedPort
from tests.pdagent.eventsapi.peers import Link, Peer
from tests.pdagent.eventsapi.samples import an_event, rendered

_ANSWER = b"HTTP/1.1 202 Accepted\r\nContent-Length: 20\r\n\r\n" + b'{"status":"success"}'


class Looks:
    """Says at each look whether the lease is held: as `said`, then always yes."""

    def __init__(self) -> None:
        self.said: list[bool] = []

    def __call__(self) -> bool:
        return self.said.pop(0) if self.said else True


@pytest.fixture
def pagerduty() -> Iterator[Peer]:
    def serve(link: Link) -> None:
        while link.request() is not None:
            link.send(_ANSWER)

    with Peer(serve) as peer:
        yield peer


@pytest.mark.parametrize("is_connected", [False, True])
@pytest.mark.parametrize("looks", [[False], [True, False]], ids=["before", "while it dials"])
def test_nothing_is_sent_while_the_lease_is_not_held(
    pagerduty: Peer, is_connected: bool, looks: list[bool]
) -> None:
    """What is written after another relay took over would reopen what that one has resolved."""
    holds = Looks()
    api = EventsApi(
        pagerduty.url, user_agent="t", agent_id="RELAY", render=rendered, may_send=holds
    )
    port, event = LeasedPort(api, holds), an_event("v2")
    if is_connected:
        assert isinstance(port.deliver(event), Delivered)
    before = len(pagerduty.requests)
    holds.said = looks[:]
    verdict = port.deliver(event)
    assert isinstance(verdict, Deferred)
    assert (verdict.reason, verdict.retry_after) == ("not_owner", 1.0)
    assert len(pagerduty.requests) == before
    assert isinstance(port.deliver(event), Delivered)
    port.close()
