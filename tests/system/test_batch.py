"""Batches through the whole: order at the other end, and what a crash leaves of a receipt."""

from __future__ import annotations

import contextlib
import http.client
import json
from pathlib import Path

import pytest

from tests.agent_process import AgentProcess
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import key_number, numbers_by_key, trigger, without_repetitions

KEYS = 8
LINES = 2_500


def lines(count: int) -> bytes:
    """Triggers over all keys in turn; each carries its line's number."""
    events = (trigger(key_number(n % KEYS), n) for n in range(1, count + 1))
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def test_the_events_of_each_key_arrive_in_the_order_of_their_lines(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    answer = agent.post("/send/batch", data=lines(400))
    receipts = [json.loads(line) for line in answer.content.splitlines()]
    assert [receipt["line"] for receipt in receipts] == list(range(1, 401))
    numbers = numbers_by_key(sandbox.wait_for_events(400, timeout=60))
    for key in range(KEYS):
        expected = [n for n in range(1, 401) if n % KEYS == key]
        assert numbers[key_number(key)] == expected


@pytest.mark.parametrize("receipts_before", [1, 900])
def test_each_receipt_of_a_batch_survives_a_crash_in_its_middle(
    tmp_path: Path, sandbox: SandboxProcess, receipts_before: int
) -> None:
    sandbox.behave(down=True)
    body = lines(LINES)
    with AgentProcess(tmp_path / "agent", sandbox.url) as agent:
        connection = http.client.HTTPConnection(agent.address, timeout=30)
        headers = {"Authorization": f"token {agent.secret}", "Idempotency-Key": "crash"}
        told: list[int] = []
        with contextlib.suppress(http.client.HTTPException, OSError):
            connection.request("POST", "/send/batch", body, headers)
            answer = connection.getresponse()
            while line := answer.readline():
                told.append(json.loads(line)["line"])
                if len(told) == receipts_before:
                    agent.kill()
        assert len(told) >= receipts_before
        agent.start()
        assert agent.totals()["accepted"] >= len(told)

        # Sent once more, the batch is completed and nothing of it is stored twice.
        again = agent.post("/send/batch", data=body, headers={"Idempotency-Key": "crash"})
        assert len(again.content.splitlines()) == LINES
        assert agent.totals()["accepted"] == LINES
        sandbox.behave(down=False)
        agent.wait_until_drained(120)
        numbers = numbers_by_key(sandbox.events())
        for key in range(KEYS):
            expected = [n for n in range(1, LINES + 1) if n % KEYS == key]
            assert without_repetitions(numbers[key_number(key)]) == expected
