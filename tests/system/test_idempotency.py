"""A request that is repeated with the same Idempotency-Key is queued once."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import requests

from pdagent.events.ids import repeatable_event_id
from store.lmdb_journal import LmdbJournal
from store.port import Append
from store.records import EventAccepted, EventId, QueueId, RoutingKey
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


WAYS: dict[str, Send] = {
    "send v1": by_send_v1,
    "send v2": by_send_v2,
    **{path: by_path(path) for path in PATHS},
}


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


def test_twenty_repetitions_at_once_are_one_event_and_one_receipt(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    for number, (name, send) in enumerate(WAYS.items(), 1):
        first, *others = answers_at_once(agent, send, name)
        assert all(other == first for other in others), name
        agent.wait_until_drained()
        *_, event = sandbox.events()
        assert len(sandbox.events()) == agent.totals()["accepted"] == number, name
        told = first.get("dedup_key", first.get("incident_key", event["dedup_key"]))
        assert told == event["dedup_key"], name


def test_a_repetition_after_the_delivery_and_after_kills_gets_the_first_receipt(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    def answers() -> dict[str, tuple[int, object]]:
        sent = {name: send(agent, name) for name, send in WAYS.items()}
        return {name: (answer.status_code, answer.json()) for name, answer in sent.items()}

    sandbox.behave(down=True)
    first = answers()
    assert {status for status, _ in first.values()} == {200, 202}
    agent.kill()
    agent.start()
    assert answers() == first, "while they wait"
    sandbox.behave(down=False)
    agent.wait_until_drained()
    assert answers() == first, "after the delivery"
    agent.kill()
    agent.start()
    assert answers() == first, "after a restart"
    assert agent.totals()["accepted"] == len(sandbox.events()) == len(WAYS)


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


def another(event: dict[str, Any]) -> dict[str, Any]:
    """The same action for the same alert, and yet another event."""
    return {**event, "client": "another"}


def assert_key_was_used(answer: requests.Response, first: str) -> None:
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert first in error
    assert "NOT stored" in error
    assert "Retry-After" not in answer.headers


def test_another_event_under_a_used_key_is_refused_and_the_first_one_named(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    for path in (*PATHS, "/send"):
        event = PATHS.get(path, trigger(KEY))
        headers = {"Idempotency-Key": path, "Pd-Event-Version": "v2"}
        first = agent.post(path, json=event, headers=headers)
        id_ = repeatable_event_id(KEY, path)
        other = agent.post(path, json=another(event), headers=headers)
        assert_key_was_used(other, id_)
        reordered = dict(reversed(event.items()))
        assert agent.post(path, json=reordered, headers=headers).json() == first.json()
        agent.wait_until_drained()
        assert_key_was_used(agent.post(path, json=another(event), headers=headers), id_)
    received = [each["body"].get("client") for each in sandbox.events()]
    assert received == [None] * (len(PATHS) + 1)


def test_a_used_key_stays_used_whatever_became_of_its_event_and_after_a_kill(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    receipts: dict[str, Any] = {}
    for end, trouble in (
        ("delivered", {}),
        ("dead_lettered", {"fail": 400}),
        ("discarded", {"fail": None, "down": True}),
    ):
        sandbox.behave(**trouble)
        if end == "discarded":
            agent.send_v2(trigger(KEY)).raise_for_status()  # it is the one that is under way
        receipts[end] = agent.send_v2(trigger(KEY), idempotency_key=end).json()
        if end == "discarded":
            agent.cli("queue", "discard", "--yes", receipts[end]["key"]).check_returncode()
        agent.wait_for(lambda end=end: agent.totals()[end] == 1, f"it is {end}")
    for _ in range(2):
        for end, receipt in receipts.items():
            other = agent.send_v2(another(trigger(KEY)), idempotency_key=end)
            assert_key_was_used(other, receipt["key"])
            assert agent.send_v2(trigger(KEY), idempotency_key=end).json() == receipt
        agent.wait_until_recorded(KEY)
        agent.kill()
        agent.start()


def test_a_used_key_is_used_in_a_batch_for_the_same_line_only(
    agent: AgentProcess, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    def batch(*names: str) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "events.ndjson"
        lines = (json.dumps({**trigger(KEY), "dedup_key": name}) for name in names)
        file.write_text("\n".join(lines) + "\n")
        return agent.cli("enqueue", "--batch", str(file), "--idempotency-key", "j", "--json")

    assert batch("one", "two", "three").returncode == 0
    done = batch("zero", "two", "one", "four")
    assert done.returncode == 2
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [result.get("status") for result in results] == [422, None, 422, None]
    assert repeatable_event_id(KEY, "j\n3") in done.stderr
    agent.wait_until_drained()
    assert [event["dedup_key"] for event in sandbox.events()] == ["one", "two", "three", "four"]


def test_a_record_of_the_previous_version_answers_as_it_did(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    """It has no fingerprint: what is known of it tells, and the sender gets a warning."""
    old = EventAccepted(
        event=EventId(repeatable_event_id(KEY, "old")),
        position=1,
        kind="v2",
        action="trigger",
        dedup_key="disk",
        body=json.dumps({**trigger(KEY), "routing_key": "", "dedup_key": "disk"}).encode(),
        at=time.time(),
    )
    journal = LmdbJournal(tmp_path / "agent" / "journal", limit=64 << 20)
    append = Append(queue=QueueId(1), records=(old,), routing_key=RoutingKey(KEY))
    journal.commit([append])
    journal.close()
    with AgentProcess(tmp_path / "agent", sandbox.url) as agent:
        for change in ({"dedup_key": "disk"}, {"dedup_key": "disk", "client": "another"}):
            same = agent.send_v2({**trigger(KEY), **change}, idempotency_key="old")
            assert same.json() == {"key": old.event, "dedup_key": "disk"}
        answer = agent.send_v2({**trigger(KEY), "dedup_key": "cpu"}, idempotency_key="old")
        assert answer.status_code == 200
        assert answer.json()["key"] == old.event
        (warning,) = answer.json()["warnings"]
        assert "NOT stored" in warning
        agent.wait_until_drained()
        assert agent.totals()["accepted"] == 1
