"""Retries, discards, holds and releases over HTTP."""

from __future__ import annotations

import json

import pytest

from tests.agent_process import AgentProcess
from tests.pdagent.httpapi.operators.asking import (
    NAMED,
    OTHER,
    dead,
    error_of,
    event,
    held,
    ids_of,
    life,
    listed,
    sent,
    wait_for_state,
)
from tests.sandbox_process import SandboxProcess


def test_discarding_is_recorded_with_its_reason_and_final(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    [died] = dead(agent, sandbox, event())
    url = f"{agent.url}/queue/events/{died[:18]}"
    headers = {"Authorization": f"token {agent.secret}"}
    answer = agent.session().delete(url, headers=headers, params={"reason": "known, see #42"})
    assert answer.json() == {"message": "Discarded 1 events.", "count": 1, "events": [died]}
    shown = life(agent, died)
    assert shown["state"] == "discarded"
    assert shown["history"][-1]["record"] == "EventDiscarded"
    assert shown["history"][-1]["reason"] == "known, see #42"
    again = error_of(agent.session().delete(url, headers=headers), 409)
    assert "nothing to discard" in again
    assert f"queue show {died}" in again
    assert "nothing to retry" in error_of(agent.post(f"/queue/events/{died}/retry"), 409)


def test_what_is_being_delivered_can_not_be_taken_back(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    sandbox.behave(hang_key=NAMED, hang=60)
    in_flight, waits = sent(agent, event(), event(NAMED, "load"))
    wait_for_state(agent, in_flight, "in_flight")
    answer = agent.post("/queue/discard", json={"ids": [in_flight, waits, "zz"]}).json()
    assert answer["events"] == [waits]
    refused = {each["id"]: (each["status"], each["error"]) for each in answer["refused"]}
    assert refused.keys() == {in_flight, "zz"}
    assert refused[in_flight][0] == 409
    assert "being delivered right now" in refused[in_flight][1]
    assert refused["zz"][0] == 404
    sandbox.behave(hang_key=[])
    wait_for_state(agent, in_flight, "delivered")
    assert life(agent, waits)["state"] == "discarded"


def test_what_is_under_way_for_a_moment_only_is_waited_for(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    sandbox.behave(fail=503, latency=0.1)
    in_flight, waits = sent(agent, event(), event(NAMED, "load"))
    wait_for_state(agent, in_flight, "in_flight")
    answer = agent.post("/queue/discard", params={"rk": NAMED}).json()
    assert set(answer["events"]) == {in_flight, waits}, answer["refused"]
    sandbox.behave(fail=None, latency=0)


def test_a_retry_says_why_an_event_can_not_be_retried_and_by_force_does_it(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    [died, other] = dead(agent, sandbox, event(), event(NAMED, "load"))
    [resolve] = sent(agent, event(action="resolve"))
    agent.wait_until_drained()
    error = error_of(agent.post(f"/queue/events/{died}/retry"), 409)
    assert f"the later event {resolve} resolves" in error
    assert f"'pagerduty-agent queue discard {died}'" in error
    assert f"'pagerduty-agent queue retry --force {died}'" in error
    answer = agent.post("/queue/retry", params={"rk": NAMED}).json()
    assert (answer["events"], answer["left"]) == ([other], 1)
    several = agent.post("/queue/retry", json={"ids": [died, died]}).json()
    assert (several["count"], len(several["refused"])) == (0, 1)
    assert agent.post(f"/queue/events/{died}/retry", params={"force": "1"}).json()["count"] == 1
    wait_for_state(agent, died, "delivered")
    [waits] = held(agent, event(NAMED, "waits"))
    assert "has not failed" in error_of(agent.post(f"/queue/events/{waits}/retry"), 409)


def test_of_several_one_that_a_waiting_event_supersedes_is_refused_with_its_reason(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    died, other = dead(agent, sandbox, event(), event(NAMED, "load"))
    [resolve] = held(agent, event(action="resolve"))
    answer = agent.post("/queue/retry", json={"ids": [died, other]}).json()
    assert answer["events"] == [other]
    [refused] = answer["refused"]
    assert (refused["id"], refused["status"]) == (died, 409)
    assert f"the later event {resolve} resolves" in refused["error"]


def test_a_deferred_event_is_retried_at_once(agent: AgentProcess, sandbox: SandboxProcess) -> None:
    sandbox.behave(fail=429, retry_after="3600")
    [deferred] = sent(agent, event(OTHER))
    wait_for_state(agent, deferred, "deferred")
    sandbox.behave(fail=None, retry_after=None)
    assert agent.post("/queue/retry", json={"ids": [deferred]}).json()["count"] == 1
    wait_for_state(agent, deferred, "delivered")


def test_what_an_outage_has_deferred_is_retried_with_all_that_failed(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    sandbox.behave(down=True)
    try:
        [deferred] = sent(agent, event(OTHER))
        wait_for_state(agent, deferred, "deferred")
        # Held, it isn't the probe that finds out when PagerDuty is back.
        agent.post("/queue/hold", params={"rk": OTHER}).raise_for_status()
        wait_for_state(agent, deferred, "deferred")
        for params in ({"rk": OTHER}, {}):
            answer = agent.post("/queue/retry", params=params).json()
            assert answer["events"] == [deferred]
            assert answer["message"] == "Retrying 1 events."
    finally:
        sandbox.behave(down=False)
    agent.post("/queue/release", params={"rk": OTHER}).raise_for_status()
    wait_for_state(agent, deferred, "delivered")


def test_a_queue_is_discarded_only_where_it_is_named_and_only_the_states_asked_for(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    [died] = dead(agent, sandbox, event())
    waiting = held(agent, event(NAMED, "a"), event(NAMED, "b"), event(OTHER, "c"))
    assert "say what to discard" in error_of(agent.post("/queue/discard"), 400)
    query = {"rk": NAMED, "state": "delivered"}
    assert "has ended" in error_of(agent.post("/queue/discard", params=query), 400)
    query["state"] = "dead_lettered"
    assert agent.post("/queue/discard", params=query).json()["events"] == [died]
    answer = agent.post("/queue/discard", params={"queue": "database"}, json={"reason": "why"})
    assert answer.json()["events"] == waiting[:2]
    assert life(agent, waiting[0])["history"][-1]["reason"] == "why"
    assert ids_of(listed(agent)) == waiting[2:]


def test_a_name_that_two_keys_share_changes_neither(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    twins = [f"fedc{letter * 24}3210" for letter in "xy"]
    ids = dead(agent, sandbox, *(event(key) for key in twins))
    shared = {"queue": "fedc...3210"}
    assert set(ids) <= set(ids_of(listed(agent, **shared)))
    for path in ("/queue/discard", "/queue/retry", "/queue/hold", "/queue/release"):
        assert "routing keys look like this" in error_of(agent.post(path, params=shared), 409)
    assert agent.post("/queue/discard", json={"ids": ids}).json()["count"] == 2


def test_a_held_queue_takes_events_and_delivers_them_after_its_release(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    answer = agent.post("/queue/hold", params={"queue": "database"}, json={"reason": "upgrade"})
    assert answer.json() == {
        "message": "Holding database: upgrade.",
        "queue": "database",
        "held": True,
        "waiting": 0,
    }
    [waits] = sent(agent, event())
    sent(agent, event(OTHER))
    sandbox.wait_for_events(1, rk=OTHER)
    [queue] = agent.status(rk=NAMED)["queues"]
    assert (queue["state"], queue["held"], queue["hold_reason"]) == ("held", True, "upgrade")
    assert life(agent, waits)["state"] == "queued"
    assert sandbox.events(rk=NAMED) == []
    answer = agent.post("/queue/release", params={"rk": NAMED})
    assert answer.json()["message"] == "Released database."
    agent.wait_until_drained()
    assert len(sandbox.events(rk=NAMED)) == 1
    assert "name a queue" in error_of(agent.post("/queue/hold"), 400)
    assert "no event was ever accepted" in error_of(
        agent.post("/queue/hold", params={"rk": "n" * 32}), 404
    )


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"ids": []}',
        b'{"ids": "a"}',
        b'{"ids": [1]}',
        b'{"force": "yes"}',
        b'{"reason": 1}',
        b"\xff",
        b"[" * 100_000,
        json.dumps({"reason": "x" * 1_001}).encode(),
        json.dumps({"ids": ["0"] * 10_001}).encode(),
    ],
    ids=lambda body: body[:12].decode("latin-1"),
)
def test_a_body_that_is_no_wish_is_refused_and_changes_nothing(
    agent: AgentProcess, sandbox: SandboxProcess, body: bytes
) -> None:
    [died] = dead(agent, sandbox, event())
    for path in ("/queue/retry", "/queue/discard"):
        answer = agent.post(path, params={"rk": NAMED}, data=body)
        assert error_of(answer, 400).startswith("the JSON body: ")
    assert ids_of(listed(agent, rk=NAMED)) == [died]
