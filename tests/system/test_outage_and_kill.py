"""Accepted is safe: an outage of PagerDuty, a SIGKILL of the agent, and both at once."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import requests

from tests.agent_process import AgentProcess
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import (
    key_number,
    number_of,
    numbers_by_key,
    repetitions,
    trigger,
    without_repetitions,
)

KEYS = [key_number(n) for n in range(20)]


def on_all_keys(work: Callable[[str], object], keys: list[str] = KEYS) -> None:
    """Do `work` for each key at the same time, each key in a thread of its own."""
    with ThreadPoolExecutor(len(keys)) as pool:
        list(pool.map(work, keys))


def test_2000_events_survive_an_outage_and_a_kill_in_order_and_once(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    sandbox.behave(down=True)

    def accept(key: str) -> None:
        for number in range(100):
            answer = agent.send_v2(trigger(key, number))
            assert answer.status_code == 200, answer.text

    on_all_keys(accept)
    assert agent.totals()["accepted"] == 2000
    agent.kill()
    agent.restart()
    assert agent.totals() == {
        "accepted": 2000,
        "delivered": 0,
        "waiting": 2000,
        "dead_lettered": 0,
        "discarded": 0,
    }
    sandbox.behave(down=False)
    agent.wait_until_drained(60)

    arrived = numbers_by_key(sandbox.events())
    # No delivery got as far as PagerDuty before the kill, so that not even one may come twice.
    assert arrived == {key: list(range(100)) for key in KEYS}
    assert agent.totals()["delivered"] == 2000


def test_what_was_accepted_around_kills_arrives_in_order_and_only_what_was_in_flight_twice(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    """Deliveries run and events come in while the agent is killed, three times."""
    keys, each, kills = KEYS[:8], 60, 3
    sandbox.behave(latency="0.005..0.03")
    accepted: dict[str, int] = dict.fromkeys(keys, 0)
    over = threading.Event()

    def accept(key: str) -> None:
        for number in range(each):
            same_request = str(uuid.uuid4())
            while not over.is_set():
                try:
                    answer = agent.send_v2(trigger(key, number), idempotency_key=same_request)
                except requests.RequestException:
                    # The agent is down: the same request again, as the sender can't know.
                    over.wait(0.05)
                    continue
                assert answer.status_code == 200, answer.text
                accepted[key] += 1
                break

    with ThreadPoolExecutor(len(keys)) as pool:
        try:
            sent = [pool.submit(accept, key) for key in keys]
            for kill in range(1, kills + 1):
                due = kill * len(keys) * each // (kills + 1)
                sandbox.wait_for_events(due)
                agent.kill()
                agent.restart()
            for future in sent:
                future.result(60)
        finally:
            over.set()
    agent.wait_until_drained()

    arrived = numbers_by_key(sandbox.events())
    assert accepted == dict.fromkeys(keys, each)
    for key in keys:
        assert without_repetitions(arrived[key]) == list(range(each))
        assert repetitions(arrived[key]) <= kills
    # Journal and PagerDuty agree: each event was accepted once and delivered once.
    totals = agent.totals()
    assert (totals["accepted"], totals["delivered"]) == (len(keys) * each, len(keys) * each)
    # A repeated event joins the alert that its first delivery opened.
    opened = sandbox.stats()["alerts"]["opened"]
    assert opened == len(keys) * each


def test_an_event_in_flight_at_the_kill_is_delivered_again_with_the_same_dedup_key(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    key = KEYS[0]
    sandbox.behave(hang_key=key, hang=60)
    receipt = agent.send_v2(trigger(key, 1)).json()
    agent.send_v2(trigger(key, 2)).raise_for_status()
    sandbox.wait_for(lambda: sandbox.events(key), "the first event is in flight")
    agent.kill()
    sandbox.behave(hang_key=[])
    agent.restart()
    agent.wait_until_drained()
    events = sandbox.events(key)
    assert [number_of(event) for event in events] == [1, 1, 2]
    assert [event["body"]["dedup_key"] for event in events[:2]] == [receipt["dedup_key"]] * 2
    assert len(sandbox.alerts(key)) == 2


def test_deliveries_of_all_keys_begin_again_after_pagerdutys_return(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    sandbox.behave(down=True)
    on_all_keys(lambda key: agent.send_v2(trigger(key, 0)).raise_for_status())
    agent.wait_for(
        lambda: agent.status()["pagerduty"]["state"] == "unreachable", "the outage is noticed"
    )
    sandbox.behave(down=False)
    sandbox.wait_for_events(len(KEYS))
    agent.wait_until_drained()
    assert agent.status()["pagerduty"]["state"] == "reachable"
