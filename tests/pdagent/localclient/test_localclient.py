"""The client of the local API: what each kind of trouble is reported as."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler

import pytest

from pdagent.config import Config
from pdagent.localclient import LocalClient
from pdagent.localclient.errors import NoAnswer, Unreachable
from tests.pdagent.cli.agent_stand_in import SECRET, AgentStandIn


def test_a_silent_agent_is_waited_for_once_and_its_outcome_is_open() -> None:
    done = threading.Event()

    def stay_silent(_: BaseHTTPRequestHandler) -> None:
        done.wait()

    with AgentStandIn() as agent:
        agent.tricks.append(stay_silent)
        config = Config(address=agent.address, secret=SECRET)
        client = LocalClient(config, answer_seconds=0.2)
        with pytest.raises(NoAnswer, match="none within"):
            client.send("v1", b"{}", idempotency_key="a")
        done.set()
        assert len(agent.received) == 1


def test_an_agent_that_goes_away_after_it_was_asked_leaves_the_outcome_open() -> None:
    with AgentStandIn() as agent:
        client = LocalClient(Config(address=agent.address, secret=SECRET))

        def go_away(handler: BaseHTTPRequestHandler) -> None:
            agent.stop_listening()
            handler.close_connection = True

        agent.tricks.append(go_away)
        with pytest.raises(NoAnswer, match="then connection refused"):
            client.send("v1", b"{}", idempotency_key="a")


@pytest.mark.parametrize("address", ["a..b:1", "127.0.0.1:1"])
def test_an_address_where_nobody_is_counts_as_unreachable(address: str) -> None:
    with pytest.raises(Unreachable):
        LocalClient(Config(address=address)).json("/status")


def test_an_agent_on_all_addresses_is_reached_over_loopback() -> None:
    with AgentStandIn() as agent:
        port = agent.address.rpartition(":")[2]
        LocalClient(Config(address=f"0.0.0.0:{port}", secret=SECRET)).health()
        assert agent.received[0].headers["host"] == f"127.0.0.1:{port}"
