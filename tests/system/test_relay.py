"""Relays on a real engine: one owns the log and delivers, the others stand by."""

from __future__ import annotations

import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent_process import AgentProcess
from tests.engine import Engine, needs_nats_server
from tests.relay_processes import TELLING, RelayProcess, Relays
from tests.sandbox_process import SandboxProcess
from tests.store.small_disk import small_disk
from tests.system.numbered_events import (
    key_number,
    numbers_by_key,
    repetitions,
    trigger,
    without_repetitions,
)

TAKEOVER = 15.0
"""Seconds in which another relay owns the log after the owner's end, whatever that was."""

HANDOVER = 5.5
"""Seconds in which it does after an orderly end: fewer than its lease would last."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess() as running:
        yield running


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    needs_nats_server()
    with Engine(tmp_path_factory.mktemp("engine"), settings=TELLING) as running:
        yield running


@pytest.fixture(scope="module")
def all_relays(
    tmp_path_factory: pytest.TempPathFactory, engine: Engine, sandbox: SandboxProcess
) -> Iterator[Relays]:
    with Relays(tmp_path_factory.mktemp("relays"), engine, sandbox.url) as running:
        yield running


@pytest.fixture
def relays(all_relays: Relays, sandbox: SandboxProcess) -> Relays:
    """Two relays that run, one of which owns the log. Tests may end them."""
    sandbox.reset()
    for relay in all_relays.all:
        if not relay.is_running:
            relay.start()
    all_relays.owner()
    return all_relays


def accept(relay: RelayProcess, key: str, numbers: range) -> None:
    for number in numbers:
        answer = relay.enqueue(trigger(key, number))
        assert answer.status_code == 202, answer.text


def arrived(sandbox: SandboxProcess, key: str) -> list[int]:
    return numbers_by_key(sandbox.events()).get(key, [])


def test_a_standby_takes_nothing_and_says_who_does(relays: Relays) -> None:
    owner = relays.owner()
    (standby,) = relays.others(owner)
    standby.wait_for(lambda: standby.relay_status()["owner"]["url"] == owner.url, "it knows")
    for path in ("/v2/enqueue", "/send", "/send/batch", "/v2/change/enqueue", "/queue/hold"):
        answer = standby.post(path, json=trigger())
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"
        assert answer.json()["owner"] == owner.url
        assert "retry later" in answer.json()["errors"][0]
    assert standby.enqueue(trigger()).json()["status"] == "service unavailable"
    health = standby.get("/health")
    assert (health.status_code, health.json()["role"]) == (503, "standby")
    assert standby.get("/health/live").status_code == 200
    assert (standby.metric("relay_owner"), owner.metric("relay_owner")) == (0.0, 1.0)
    refused = standby.cli("relay", "step-down")
    assert refused.returncode == 1
    assert f"the owner is {owner.relay_status()['relay']['name']} at {owner.url}" in refused.stderr
    assert standby.get("/relay/status", headers={"Authorization": None}).status_code == 401


def test_relay_status_shows_owner_standbys_and_engine_on_each_relay(relays: Relays) -> None:
    owner = relays.owner()
    (standby,) = relays.others(owner)

    def has_seen_all(relay: RelayProcess) -> bool:
        seen = relay.relay_status()
        behind = [row["behind"] for row in seen["standbys"] if row["url"] == standby.url]
        has_all = behind == [0] and len(seen["engine"]["streams"]) == 2
        return has_all and not seen["warnings"]  # a copy may still catch up

    def shows_all(relay: RelayProcess) -> bool:
        shown = relay.cli("relay", "status").stdout
        return (
            re.search(rf"owner +\S+ at {owner.url}, version", shown) is not None
            and re.search(rf"standby +\S+ at {standby.url}, version \S+, ready, seen", shown)
            is not None
            and "3 of 3 nodes: n1 (2." in shown
            and shown.count("up to date") == 4
            and "attention" not in shown
        )

    def passes(relay: RelayProcess) -> bool:
        checked = relay.cli("relay", "check")
        found = (checked.returncode, checked.stderr) == (0, "")
        return found and "node n3: nats-server 2." in checked.stdout

    # A busy node may answer too late, for one look of several.
    for relay in relays.all:
        relay.wait_for(lambda relay=relay: has_seen_all(relay), "it has looked at all")
        relay.wait_for(lambda relay=relay: shows_all(relay), "its status shows all")
    owner.wait_for(lambda: passes(owner), "the check finds all in order")


def test_a_killed_owner_is_replaced_and_an_empty_disk_is_filled(
    relays: Relays, sandbox: SandboxProcess
) -> None:
    owner, key = relays.owner(), key_number(1)
    accept(owner, key, range(5))
    sandbox.wait_for_events(5, key)
    sandbox.behave(latency="0.1")
    accept(owner, key, range(5, 20))
    owner.kill()
    successor = relays.owner(timeout=TAKEOVER)
    accept(successor, key, range(20, 25))
    successor.wait_until_drained()
    assert without_repetitions(arrived(sandbox, key)) == list(range(25))
    assert repetitions(arrived(sandbox, key)) <= 1, "only that which was under way"
    shutil.rmtree(owner.journal)
    owner.start()
    owner.wait_for(lambda: owner.role() == "standby", "the log is read again")
    delivered = successor.totals()["delivered"]
    successor.post("/relay/step-down").raise_for_status()
    assert relays.owner(but=successor, timeout=HANDOVER) is owner
    assert owner.totals()["delivered"] == delivered


def test_a_paused_owner_delivers_nothing_more_after_another_took_over(
    relays: Relays, sandbox: SandboxProcess
) -> None:
    owner, key = relays.owner(), key_number(2)
    pid = owner.pid
    sandbox.behave(latency="0.2")
    accept(owner, key, range(20))
    sandbox.wait_for_events(2, key)
    owner.pause()
    successor = relays.owner(but=owner, timeout=TAKEOVER)
    sandbox.wait_for_events(6, key)
    owner.signal(signal.SIGCONT)
    successor.wait_until_drained()
    owner.wait_for(lambda: owner.role() == "standby", "it has become a standby")
    assert (owner.pid, owner.is_running) == (pid, True)
    assert owner.metric("relay_fenced_total") == 1.0
    assert without_repetitions(arrived(sandbox, key)) == list(range(20))
    assert repetitions(arrived(sandbox, key)) <= 1


def test_an_owner_whose_disk_fails_steps_down(relays: Relays, sandbox: SandboxProcess) -> None:
    owner, key = relays.owner(), key_number(5)
    accept(owner, key, range(3))
    owner.journal.rename(owner.directory / "elsewhere")
    successor = relays.owner(but=owner, timeout=TAKEOVER)
    accept(successor, key, range(3, 6))
    owner.wait_for(lambda: owner.role() == "standby", "its copy is filled anew")
    sandbox.wait_for_events(6, key)
    assert arrived(sandbox, key) == list(range(6))
    shutil.rmtree(owner.directory / "elsewhere")


def test_an_owner_whose_disk_is_full_steps_down(
    tmp_path: Path, engine: Engine, sandbox: SandboxProcess
) -> None:
    """Otherwise it would refuse all events, and drop history that the others have room for."""
    sandbox.reset()
    relays = Relays(tmp_path, engine, sandbox.url)
    full, key = relays.all[0], key_number(6)
    with small_disk(full.journal, 44) as disk, relays:
        owner = relays.owner()
        if owner is not full:
            owner.post("/relay/step-down").raise_for_status()
            assert relays.owner(but=owner, timeout=HANDOVER) is full
        disk.fill()
        event = trigger(key, 0)
        event["payload"]["custom_details"] = {"filler": "x" * 400_000}
        while (answer := full.enqueue(event)).ok:
            pass
        assert "has no room" in answer.text
        successor = relays.owner(but=full, timeout=TAKEOVER)
        assert successor.enqueue(event).status_code == 202
        full.wait_for(lambda: full.role() == "standby", "it follows: records have their reserve")
        assert successor.owns()


def test_a_killed_owner_that_starts_again_goes_on_at_once(
    relays: Relays, sandbox: SandboxProcess
) -> None:
    owner, key = relays.owner(), key_number(5)
    sandbox.behave(latency="0.1")
    accept(owner, key, range(8))
    owner.kill()
    owner.start()
    assert relays.owner(timeout=HANDOVER) is owner
    accept(owner, key, range(8, 12))
    owner.wait_until_drained()
    assert without_repetitions(arrived(sandbox, key)) == list(range(12))
    assert repetitions(arrived(sandbox, key)) <= 1


def test_an_orderly_end_hands_over_at_once(relays: Relays, sandbox: SandboxProcess) -> None:
    owner, key = relays.owner(), key_number(3)
    pid = owner.pid
    sandbox.behave(latency="0.1")
    accept(owner, key, range(8))
    assert "another relay takes over" in owner.cli("relay", "step-down").stdout
    successor = relays.owner(but=owner, timeout=HANDOVER)
    owner.wait_for(lambda: owner.role() == "standby", "it has become a standby")
    assert owner.pid == pid
    accept(successor, key, range(8, 12))
    assert successor.stop() == 0
    assert relays.owner(timeout=HANDOVER) is owner
    owner.wait_until_drained()
    assert arrived(sandbox, key) == list(range(12)), "each once, as none was under way"


def test_the_engine_may_fail_without_a_change_of_the_owner(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    needs_nats_server()
    with (
        Engine(tmp_path / "engine", settings=TELLING) as engine,
        Relays(tmp_path, engine, sandbox.url) as relays,
    ):
        sandbox.reset()
        owner, key = relays.owner(), key_number(4)
        accept(owner, key, range(3))
        leader = engine.leader(f"{relays.name}_table")
        leader.kill()
        numbers = iter(range(3, 1000))
        number = next(numbers)
        owner.wait_for(lambda: owner.enqueue(trigger(key, number)).ok, "an election")
        for node in engine.nodes:
            node.kill()
        began = time.monotonic()
        refused = owner.enqueue(trigger(key, 100))
        assert refused.status_code == 503
        assert time.monotonic() - began < 8
        owner.wait_for(
            lambda: "the engine has confirmed nothing" in owner.get("/health").text, "it says why"
        )
        again = owner.enqueue(trigger(key, 101))
        assert again.status_code == 503
        engine.start()
        owner.wait_for(owner.is_healthy, "the engine is back")
        accept(owner, key, range(4, 8))
        owner.wait_until_drained()
        assert relays.owner() is owner
        assert owner.metric("relay_takeovers_total") == 1.0
        found = [n for n in without_repetitions(arrived(sandbox, key)) if n != 100]
        assert found == list(range(8))


def test_an_engine_that_would_lose_events_is_refused(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    needs_nats_server()
    two = Engine(tmp_path / "engine", nodes=2, settings=TELLING)
    config = two.nodes[0].directory / "config"
    config.write_text(config.read_text().replace("sync_interval: always", 'sync_interval: "2m"'))
    with two as engine:
        relay = RelayProcess(tmp_path / "relay", sandbox.url, engine, "refused", "of-hosts")
        with pytest.raises(RuntimeError, match="the agent did not start"):
            AgentProcess.start(relay)
        checked = relay.cli("relay", "check")
        for text in (relay.log(), checked.stderr):
            assert "error: node n1 of the engine does not sync each write to its disk" in text
            assert "node n2" not in text
            assert "the engine has 2 nodes, engine.replicas is 3" in text
        assert checked.returncode == 1
        assert relay.process.wait() == 1
    assert "start the nodes of the engine" in relay.cli("relay", "check").stderr
