"""A request that is repeated with the same Idempotency-Key is queued once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
import requests

from tests.agent_process import AgentProcess
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import key_number, trigger

KEY, OTHER_KEY = key_number(1), key_number(2)
AT_ONCE = 20
PATHS = {
    "/v2/enqueue": trigger(KEY),
    "/v2/change/enqueue": {"routing_key": KEY, "payload": {"summary": "deployed"}},
    "/generic/2010-04-15/create_event.json": {
        "service_key": KEY,
        "event_type": "trigger",
        "description": "disk full",
    },
}

Send = Callable[[AgentProcess, str], requests.Response]


def by_path(path: str) -> Send:
    """As a PagerDuty client sends: no secret, no content type."""

    def send(agent: AgentProcess, idempotency_key: str) -> requests.Response:
        headers = {"Idempotency-Key": idempotency_key, "Authorization": None}
        return agent.post(path, json=PATHS[path], headers=headers)

    return send


def by_send_v1(agent: AgentProcess, idempotency_key: str) -> requests.Response:
    """As the command line sends."""
    event = PATHS["/generic/2010-04-15/create_event.json"]
    return agent.send_v1(event, idempotency_key=idempotency_key)


def by_send_v2(agent: AgentProcess, idempotency_key: str) -> requests.Response:
    """As the command line sends."""
    return agent.send_v2(trigger(KEY), idempotency_key=idempotency_key)


WAYS = pytest.mark.parametrize(
    "send", [by_send_v1, by_send_v2, *map(by_path, PATHS)], ids=["send v1", "send v2", *PATHS]
)


def answers_at_once(agent: AgentProcess, send: Send, idempotency_key: str) -> list[dict[str, Any]]:
    """The same request from many clients at the same moment."""
    barrier = Barrier(AT_ONCE)

    def one(_: int) -> dict[str, Any]:
        agent.is_healthy()  # the connection is there
        barrier.wait(20)
        response = send(agent, idempotency_key)
        assert response.status_code in (200, 202), response.text
        answer: dict[str, Any] = response.json()
        return answer

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, range(AT_ONCE)))


@WAYS
def test_twenty_repetitions_at_once_are_one_event_and_one_receipt(
    agent: AgentProcess, sandbox: SandboxProcess, send: Send
) -> None:
    first, *others = answers_at_once(agent, send, "once")
    assert all(other == first for other in others)
    agent.wait_until_drained()
    assert len(sandbox.events()) == 1
    assert agent.totals()["accepted"] == 1
    event = sandbox.events()[0]
    told = first.get("dedup_key", first.get("incident_key", event["dedup_key"]))
    assert told == event["dedup_key"]


@WAYS
def test_a_repetition_after_the_delivery_and_after_kills_gets_the_first_receipt(
    agent: AgentProcess, sandbox: SandboxProcess, send: Send
) -> None:
    sandbox.behave(down=True)
    first = send(agent, "again")
    receipt = first.json()
    agent.kill()
    agent.start()
    while_waiting = send(agent, "again")
    sandbox.behave(down=False)
    agent.wait_until_drained()
    after_delivery = send(agent, "again")
    agent.kill()
    agent.start()
    after_restart = send(agent, "again")
    for repetition in (while_waiting, after_delivery, after_restart):
        assert repetition.status_code == first.status_code
        assert repetition.json() == receipt
    assert agent.totals()["accepted"] == 1
    assert len(sandbox.events()) == 1


def test_a_repetition_of_a_dead_lettered_event_gets_the_first_receipt(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    sandbox.behave(fail=400)
    receipt = by_send_v2(agent, "bad").json()
    agent.wait_for(lambda: agent.totals()["dead_lettered"] == 1, "it is a dead letter")
    assert by_send_v2(agent, "bad").json() == receipt
    assert agent.totals() == {
        "accepted": 1,
        "delivered": 0,
        "waiting": 0,
        "dead_lettered": 1,
        "discarded": 0,
    }


def test_warnings_are_part_of_the_receipt_also_of_the_repeated_one(agent: AgentProcess) -> None:
    event = trigger(KEY)
    event["payload"]["summary"] = "x" * 2_000
    receipt = agent.send_v2(event, idempotency_key="long").json()
    assert receipt["warnings"]
    agent.wait_until_drained()
    agent.restart()
    assert agent.send_v2(event, idempotency_key="long").json() == receipt


def test_other_keys_and_other_routing_keys_are_other_events(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    for routing_key, idempotency_key in ((KEY, "a"), (KEY, "b"), (OTHER_KEY, "a"), (KEY, "a")):
        agent.send_v2(trigger(routing_key), idempotency_key=idempotency_key).raise_for_status()
    agent.send_v2(trigger(KEY)).raise_for_status()
    agent.send_v2(trigger(KEY)).raise_for_status()
    agent.wait_until_drained()
    assert len(sandbox.events(KEY)) == 4
    assert len(sandbox.events(OTHER_KEY)) == 1


def test_a_repetition_is_answered_while_the_queue_is_full(
    tmp_path: Any, sandbox: SandboxProcess
) -> None:
    sandbox.behave(down=True)
    with AgentProcess(tmp_path / "agent", sandbox.url, max_queue_length=1) as agent:
        receipt = by_send_v2(agent, "full").json()
        assert agent.send_v2(trigger(KEY)).status_code == 429
        assert by_send_v2(agent, "full").json() == receipt


def test_another_event_with_a_used_key_is_not_stored_and_its_sender_is_told(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    first = agent.send_v2(trigger(KEY), idempotency_key="always the same").json()
    other = {"routing_key": KEY, "event_action": "resolve", "dedup_key": "disk"}
    for _ in range(2):  # while it waits, or just after; and once it is delivered
        answer = agent.send_v2(other, idempotency_key="always the same").json()
        assert (answer["key"], answer["dedup_key"]) == (first["key"], first["dedup_key"])
        [warning] = answer["warnings"]
        assert "NOT stored" in warning
        assert (
            "warnings" not in agent.send_v2(trigger(KEY), idempotency_key="always the same").json()
        )
        agent.wait_until_drained()
    assert [event["action"] for event in sandbox.events()] == ["trigger"]
