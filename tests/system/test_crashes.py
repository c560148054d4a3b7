"""SIGKILL at random moments under load, with a PagerDuty that fails, is late, and hangs up.

`PDAGENT_FULL=1` kills 50 times instead of 12, `PDAGENT_KILLS=N` as often as one likes;
`PDAGENT_SEED=N` repeats the moments (what runs at them is up to the machine).
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.agent_process import AgentProcess
from tests.sandbox_process import SandboxProcess
from tests.system.full_run import number
from tests.system.numbered_events import key_number, number_of
from tests.system.told_clients import ToldClients

KILLS = number("PDAGENT_KILLS", normal=12, full=50)
SEED = int(os.environ.get("PDAGENT_SEED", "20250301"))
KEYS = [key_number(n) for n in range(24)]
MAX_IN_FLIGHT = 8
LONGEST_LIFE = 0.8
"""Seconds for which an agent is left alive at most, once it accepts events."""
LONGEST_START = 1.2
"""Seconds after which an agent is killed at most that is killed while it starts."""

Event = dict[str, Any]


def start_and_kill(agent: AgentProcess, rng: random.Random) -> float:
    """Start the agent and kill it while it starts, or just after; returns when."""
    moment = rng.uniform(0.1, LONGEST_START)
    killer = threading.Timer(moment, lambda: agent.signal(signal.SIGKILL))
    killer.start()
    with contextlib.suppress(RuntimeError):  # it did not get as far as answering
        agent.start()
    killer.join()
    agent.kill()
    return time.time()


def kill_at_random(
    agent: AgentProcess, clients: ToldClients, rng: random.Random, count: int
) -> list[float]:
    """Kill the agent `count` times at random moments of its work or, one in four, of its start.

    Returns when it was dead each time, in seconds since 1970. It runs in the end.
    """
    kills: list[float] = []
    while len(kills) < count:
        before = clients.count
        agent.wait_for(lambda n=before: clients.count > n, "events are accepted")
        time.sleep(rng.uniform(0.0, LONGEST_LIFE))  # the moment is what this test is about
        agent.kill()
        kills.append(time.time())
        if rng.random() < 0.25:
            kills.append(start_and_kill(agent, rng))
        agent.start()
    return kills


def test_kills_at_random_moments_lose_nothing_reorder_nothing_and_repeat_only_what_was_in_flight(
    tmp_path: Path,
) -> None:
    rng = random.Random(SEED)
    misbehaviour = ("--fail-rate", "0.1", "--drop-rate", "0.05", "--latency", "0.0..0.01")
    with (
        SandboxProcess(*misbehaviour, "--seed", str(SEED), "--keep", "0") as sandbox,
        AgentProcess(tmp_path, sandbox.url, max_in_flight=MAX_IN_FLIGHT) as agent,
    ):
        with ToldClients(agent, KEYS, threads=8) as clients:
            kills = kill_at_random(agent, clients, rng, KILLS)
        sandbox.behave(fail_rate=0, drop_rate=0, latency=0)
        agent.post("/queue/retry").raise_for_status()
        agent.wait_until_drained(60)
        events, alerts = sandbox.events(), sandbox.alerts()
        stats, totals = sandbox.stats(), agent.totals()

    assert clients.failures == []
    effective = {key: [e for e in events if e["routing_key"] == key] for key in KEYS}
    report = f"seed {SEED}, {len(kills)} kills, {clients.count} events acknowledged"
    for key, attempts in effective.items():
        check_key(attempts, clients.acknowledged[key], kills, report)
    distinct = {(e["routing_key"], number_of(e)) for e in events if e["effective"]}
    assert len(alerts) == len(distinct), f"a repetition opened a second alert: {report}"
    assert (totals["accepted"], totals["delivered"]) == (len(distinct), len(distinct)), report
    assert stats["connections"]["max"] <= MAX_IN_FLIGHT, report
    print(f"{report}, {len(distinct)} delivered, {len(events)} attempts")  # noqa: T201


def check_key(
    attempts: list[Event], acknowledged: dict[int, str], kills: list[float], report: str
) -> None:
    """What holds for the attempts of one key, in order of arrival."""
    numbers = [number_of(event) for event in attempts]
    # Stronger than the order of first deliveries: no attempt of an event comes before one of an
    # earlier event, as long as none is given up.
    assert numbers == sorted(numbers), report
    effective = [event for event in attempts if event["effective"]]
    lost = acknowledged.keys() - {number_of(event) for event in effective}
    assert not lost, f"acknowledged, but never delivered: {lost}; {report}"
    for event in effective:
        told = acknowledged.get(number_of(event))
        assert told in (None, event["dedup_key"]), report
    for first, second in pairwise(effective):
        if number_of(first) == number_of(second):
            unanswered = first["status"] is None
            in_flight = any(first["at"] <= kill <= second["at"] for kill in kills)
            assert unanswered or in_flight, f"delivered twice without need: {first}; {report}"


def test_the_check_notices_a_loss_a_wrong_order_and_a_repetition_without_need() -> None:
    """The crash test is worth what its check is worth."""

    def attempt(number: int, at: float, status: int | None = 202) -> Event:
        body = {"payload": {"custom_details": {"number": number}}}
        return {"body": body, "at": at, "status": status, "dedup_key": "d", "effective": True}

    check_key([attempt(1, 1.0), attempt(2, 2.0)], {1: "d", 2: "d"}, [], "")
    check_key([attempt(1, 1.0), attempt(1, 2.0)], {1: "d"}, [1.5], "")
    check_key([attempt(1, 1.0, None), attempt(1, 2.0)], {1: "d"}, [], "")
    for bad, told, kills in (
        ([attempt(1, 1.0)], {1: "d", 2: "d"}, []),
        ([attempt(2, 1.0), attempt(1, 2.0)], {}, []),
        ([attempt(1, 1.0), attempt(1, 2.0)], {}, [0.5, 2.5]),
        ([attempt(1, 1.0)], {1: "another"}, []),
    ):
        with pytest.raises(AssertionError):
            check_key(bad, told, kills, "")
