"""PagerDuty limits the rate of a key: it is paced, its order kept, and no other key waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tests.agent_process import AgentProcess
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import key_number, number_of, numbers_by_key, trigger

KEY, OTHER_KEY = key_number(1), key_number(2)


def test_a_key_over_its_limit_is_paced_and_hardly_meets_the_limit_again(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    """Three calls in two seconds: faster than the pace that begins after the first refusal."""
    sandbox.behave(rate_limit=3, rate_window=2, retry_after=1)
    for number in range(12):
        agent.send_v2(trigger(KEY, number)).raise_for_status()
    agent.wait_for(
        lambda: any(queue["paced"] for queue in agent.status()["queues"]), "the key is paced"
    )
    agent.wait_until_drained(40)
    events = sandbox.events()
    assert numbers_by_key(events) == {KEY: list(range(12))}
    refused = [event for event in events if event["status"] == 429]
    assert 1 <= len(refused) <= 6, "it runs into the limit now and then at most"
    assert agent.totals()["dead_lettered"] == 0


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured_and_holds_back_that_key_only(
    agent: AgentProcess, sandbox: SandboxProcess, form: str
) -> None:
    wait = 3.0
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=wait + 1)
    header = str(int(wait)) if form == "seconds" else format_datetime(until, usegmt=True)
    sandbox.behave(rate_limit=1, rate_window=60, retry_after=header)
    for number in range(2):
        agent.send_v2(trigger(KEY, number)).raise_for_status()
    sandbox.wait_for(lambda: sandbox.stats()["statuses"].get("429"), "a refusal")
    sandbox.behave(rate_limit=None)
    agent.send_v2(trigger(OTHER_KEY, 0)).raise_for_status()
    agent.wait_until_drained()
    (other,) = sandbox.events(OTHER_KEY)
    events = sandbox.events(KEY)
    assert [(number_of(event), event["status"]) for event in events] == [
        (0, 202),
        (1, 429),
        (1, 202),
    ]
    due = events[1]["answered_at"] + wait if form == "seconds" else until.timestamp()
    assert other["at"] < events[2]["at"]
    # A timer may be a few milliseconds off.
    assert events[2]["at"] - due >= -0.05


def test_a_v1_key_is_limited_by_403(agent: AgentProcess, sandbox: SandboxProcess) -> None:
    sandbox.behave(rate_limit=1, rate_window=3)
    service_key = f"{7:032x}"
    for number in range(2):
        event = {
            "service_key": service_key,
            "event_type": "trigger",
            "description": f"number {number}",
        }
        agent.send_v1(event).raise_for_status()
    agent.wait_until_drained()
    statuses = [event["status"] for event in sandbox.events(service_key)]
    assert statuses[:2] == [200, 403]
    assert statuses[-1] == 200
    assert agent.totals()["delivered"] == 2
