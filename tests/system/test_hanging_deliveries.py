"""Deliveries that hang hold up nothing but their own key."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent_process import AgentProcess
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import (
    key_number,
    numbers_by_key,
    repetitions,
    trigger,
    without_repetitions,
)

HANGING = key_number(99)
OTHERS = [key_number(n) for n in range(20)]
SENDERS = 16

# A machine under load answers late; a call that waits for a hanging delivery takes 30 s.
AT_ONCE = 15.0
STOP_GRACE = 5.0


def test_a_key_that_hangs_for_30_s_slows_no_other_key_no_accept_no_status_and_no_stop(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    sandbox.behave(hang_key=HANGING, hang=30)
    agent.send_v2(trigger(HANGING, 0)).raise_for_status()
    sandbox.wait_for(lambda: sandbox.events(HANGING), "the hanging delivery has begun")
    slowest = 0.0
    for number in range(10):
        for key in (HANGING, *OTHERS):
            began = time.monotonic()
            agent.send_v2(trigger(key, number)).raise_for_status()
            slowest = max(slowest, time.monotonic() - began)
        began = time.monotonic()
        agent.status()
        agent.get("/queue/status").raise_for_status()
        assert agent.get("/health").text == "OK"
        slowest = max(slowest, time.monotonic() - began)
    sandbox.wait_for_events(len(OTHERS) * 10, timeout=AT_ONCE)

    arrived = numbers_by_key(event for event in sandbox.events() if event["status"] == 202)
    assert arrived == {key: list(range(10)) for key in OTHERS}
    [hanging] = sandbox.events(HANGING)
    assert hanging["status"] is None
    assert slowest < AT_ONCE
    began = time.monotonic()
    assert agent.stop() == 0
    assert time.monotonic() - began < STOP_GRACE + AT_ONCE


def test_status_says_for_how_long_an_attempt_has_been_under_way_and_not_that_all_is_well(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    sandbox.behave(hang_key=HANGING, hang=30)
    agent.send_v2(trigger(HANGING, 0)).raise_for_status()
    sandbox.wait_for(lambda: sandbox.events(HANGING), "the hanging delivery has begun")
    began = agent.status()["queues"][0]["in_flight_since"]
    assert agent.status()["agent"]["queues"]["longest_in_flight_since"] == began
    seen = ""

    def is_told() -> bool:
        nonlocal seen
        seen = agent.cli("status").stdout
        return "sending for " in seen

    agent.wait_for(is_told, "the status says that the attempt takes long")
    assert "All is well" not in seen
    assert len(agent.status(match="sending")["queues"]) == 1
    assert agent.status(match="backing off")["queues"] == []
    assert "No answer from PagerDuty for " in seen
    sandbox.behave(hang_key=[])
    agent.kill()


@pytest.fixture
def few_senders(tmp_path: Path, sandbox: SandboxProcess) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path / "few", sandbox.url, max_in_flight=SENDERS) as process:
        yield process


def test_accept_status_and_stop_answer_while_every_delivery_hangs(
    few_senders: AgentProcess, sandbox: SandboxProcess
) -> None:
    agent = few_senders
    sandbox.behave(hang_key="*", hang=30)
    for key in OTHERS:
        agent.send_v2(trigger(key, 0)).raise_for_status()

    def all_senders_hang() -> bool:
        return bool(agent.status()["pagerduty"]["in_flight"] == SENDERS)

    agent.wait_for(all_senders_hang, "each of the senders has a delivery that hangs")
    began = time.monotonic()
    for number in range(1, 4):
        for key in OTHERS:
            agent.send_v2(trigger(key, number)).raise_for_status()
    assert agent.totals()["waiting"] == len(OTHERS) * 4
    assert agent.cli("status").returncode == 0
    assert time.monotonic() - began < AT_ONCE
    assert all_senders_hang()
    began = time.monotonic()
    assert agent.cli("server", "stop").returncode == 0
    assert time.monotonic() - began < STOP_GRACE + AT_ONCE
    assert agent.wait() == 0

    sandbox.behave(hang_key=[])
    agent.restart()
    agent.wait_until_drained()
    arrived = numbers_by_key(sandbox.events())
    for key in OTHERS:
        # What was in flight at the stop may have arrived before: nobody heard the answer.
        assert without_repetitions(arrived[key]) == list(range(4))
        assert repetitions(arrived[key]) <= 1
