"""Real agents report to real relays; one that is killed goes missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.agent_process import AgentProcess
from tests.clients.tls_agent import TlsAgent
from tests.pdagent.fleet.hasty_agent import HastyAgent

NOWHERE = "http://127.0.0.1:9"
SECRET = "the-secret-of-all-relays-0123456"
KEY = "0123456789abcdef0123456789abcdef"
TRIGGER = {
    "routing_key": KEY,
    "event_action": "trigger",
    "payload": {"summary": "disk full", "source": "db1", "severity": "critical"},
}

Start = Callable[..., HastyAgent]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a `name`d agent: a relay, or a host if it has `relays`."""
    with ExitStack() as opened:

        def start(name: str, *relays: AgentProcess, **settings: object) -> HastyAgent:
            if relays:
                urls = ", ".join(relay.url for relay in relays)
                settings = {"relay_secret": SECRET, "relays": f"[{urls}]", **settings}
            else:
                settings = {"accept_secrets": f"[{SECRET}]", **settings}
            return opened.enter_context(HastyAgent(tmp_path / name, NOWHERE, **settings))

        yield start


def hosts_of(relay: AgentProcess, **query: str) -> dict[str, dict[str, Any]]:
    """The hosts that a relay knows, by their agents' ids."""
    rows = relay.get("/relay/hosts", params=query).json()["hosts"]
    return {row["agent_id"]: row for row in rows}


def id_of(agent: AgentProcess) -> str:
    return str(agent.status()["agent"]["agent_id"])


def test_hosts_report_what_they_have_and_one_that_is_killed_goes_missing(start: Start) -> None:
    relay = start("relay")
    well, ill = start("well", relay, routing_keys={"database": KEY}), start("ill", relay)
    well.post("/queue/hold", params={"rk": KEY}).raise_for_status()
    for _ in range(2):
        well.send_v2(TRIGGER).raise_for_status()
    both = {id_of(well): well, id_of(ill): ill}
    relay.wait_for(
        lambda: (
            hosts_of(relay).keys() == both.keys() and hosts_of(relay)[id_of(well)]["waiting"] == 2
        ),
        "both have reported",
    )
    row = hosts_of(relay)[id_of(well)]
    shown = {name: row[name] for name in ("missing", "held_queues", "dead_letters", "relay")}
    assert shown == {"missing": False, "held_queues": 1, "dead_letters": 0, "relay": relay.url}
    assert row["version"] == well.status()["agent"]["version"]
    assert row["oldest_waiting_at"] is not None
    gone = id_of(ill)
    ill.kill()
    last_words = {"agent_id": gone, "host": "\x1b[2Jdb1\n"}
    of_hosts = {"Authorization": f"token {SECRET}"}
    assert relay.post("/relay/hosts", json=last_words, headers=of_hosts).ok
    relay.wait_for(lambda: [*hosts_of(relay, missing="1")] == [gone], "the killed one is missing")
    assert next(iter(hosts_of(relay))) == gone, "it stands at the top"
    assert "1 host is missing" in relay.cli("status", "--fleet").stdout
    assert "pdagent_fleet_hosts_missing 1.0" in relay.get("/metrics").text

    assert relay.cli("hosts", "forget", gone).stdout == "Forgotten:  [2Jdb1 .\n"
    assert [*hosts_of(relay)] == [id_of(well)]
    ill.restart()
    relay.wait_for(lambda: hosts_of(relay).keys() == both.keys(), "it reports again")


def test_reports_go_to_the_relay_that_takes_them_and_events_follow(start: Start) -> None:
    """A relay that is away is found out by reports: the next event needs no second try."""
    first, second = start("first"), start("second")
    host = start("host", first, second)
    host.wait_for(lambda: bool(hosts_of(first)), "it reports to the first one")
    assert not hosts_of(second)
    first.kill()
    host.wait_for(lambda: bool(hosts_of(second)), "it reports to the second one")
    at_second = "it has read the answer"
    host.wait_for(lambda: host.status()["pagerduty"]["relay"] == second.url, at_second)
    first.restart()
    # It keeps to the relay that answered last.
    before = hosts_of(second)[id_of(host)]["last_report_at"]
    host.wait_for(
        lambda: hosts_of(second)[id_of(host)]["last_report_at"] > before, "it reports again"
    )
    assert not hosts_of(first)


def test_reports_use_tls_and_a_wrong_secret_is_told_and_hinders_nothing(
    tmp_path: Path, start: Start
) -> None:
    with TlsAgent(tmp_path / "tls", NOWHERE, accept_secrets=f"[{SECRET}]") as relay:
        host = start("host", relay, relay_ca=relay.certificate)
        host.wait_for(lambda: id_of(host) in hosts_of(relay), "it reports over TLS")
        stranger = start("stranger", relay, relay_ca=relay.certificate, relay_secret="x" * 32)
        stranger.wait_for(
            lambda: f"no relay takes this host's reports ({relay.url}: HTTP 401)" in stranger.log(),
            "the log says so",
        )
        assert [*hosts_of(relay)] == [id_of(host)]
        assert stranger.send_v2(TRIGGER).status_code == 200
