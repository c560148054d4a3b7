"""What PagerDuty will never take becomes a dead letter, and what a retry of one may do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.agent_process import AgentProcess
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import key_number, number_of, numbers_by_key, trigger

KEY, OTHER_KEY = key_number(1), key_number(2)


def refused_by_pagerduty(
    agent: AgentProcess, sandbox: SandboxProcess, *events: dict[str, Any]
) -> None:
    """Have events accepted that become dead letters."""
    before = agent.totals()["dead_lettered"]
    sandbox.behave(fail=400)
    for event in events:
        agent.send_v2(event).raise_for_status()
    agent.wait_for(
        lambda: agent.totals()["dead_lettered"] == before + len(events), "they are dead letters"
    )
    sandbox.behave(fail=None)


def with_dedup_key(event: dict[str, Any], dedup_key: str, action: str) -> dict[str, Any]:
    return {**event, "dedup_key": dedup_key, "event_action": action}


def test_a_refused_event_is_dead_lettered_at_once_and_the_key_goes_on(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    refused_by_pagerduty(agent, sandbox, trigger(KEY, 0))
    agent.send_v2(trigger(KEY, 1)).raise_for_status()
    agent.wait_until_drained()
    assert numbers_by_key(sandbox.events()) == {KEY: [1]}
    (queue,) = agent.status()["queues"]
    assert (queue["error"], queue["success"], queue["pending"]) == (1, 1, 0)
    assert "400" in queue["last_error"]
    assert len(sandbox.events()) == 2, "the bad event was tried once"


@pytest.mark.parametrize("by", ["http", "command line"])
def test_a_retry_puts_dead_letters_at_the_tail_of_their_queues(
    agent: AgentProcess, sandbox: SandboxProcess, by: str
) -> None:
    refused_by_pagerduty(agent, sandbox, trigger(KEY, 0), trigger(KEY, 1))
    refused_by_pagerduty(agent, sandbox, trigger(OTHER_KEY, 0))
    sandbox.behave(hang_key=KEY, hang=60)
    for number in (2, 3):
        agent.send_v2(trigger(KEY, number)).raise_for_status()
    if by == "http":
        answer = agent.post("/queue/retry", params={"rk": KEY})
        assert answer.json()["message"] == "Retrying 2 events."
        assert answer.json()["count"] == 2
    else:
        done = agent.cli("queue", "retry", "-k", KEY)
        assert (done.returncode, done.stdout) == (0, "Retrying 2 events.\n")
    agent.send_v2(trigger(KEY, 4)).raise_for_status()
    sandbox.behave(hang_key=[])
    agent.wait_until_drained()
    assert numbers_by_key(sandbox.events()) == {KEY: [2, 3, 0, 1, 4]}
    assert agent.totals()["dead_lettered"] == 1, "the other key's was not asked for"


def test_a_dead_letter_survives_a_kill_and_can_be_retried_afterwards(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    refused_by_pagerduty(agent, sandbox, trigger(KEY, 0))
    agent.wait_until_recorded(KEY)
    agent.kill()
    agent.start()
    assert agent.totals()["dead_lettered"] == 1
    assert agent.post("/queue/retry").json()["count"] == 1
    agent.kill()  # the retry was answered, so it is on disk
    agent.start()
    agent.wait_until_drained()
    # The one that was in flight at the second kill may come twice.
    assert numbers_by_key(sandbox.events()) in ({KEY: [0]}, {KEY: [0, 0]})


def test_a_trigger_that_was_resolved_meanwhile_is_not_retried(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    """It would open an incident that nothing closes."""
    refused_by_pagerduty(
        agent,
        sandbox,
        with_dedup_key(trigger(KEY, 0), "disk", "trigger"),
        with_dedup_key(trigger(KEY, 1), "load", "trigger"),
    )
    agent.send_v2(with_dedup_key(trigger(KEY, 2), "disk", "resolve")).raise_for_status()
    agent.wait_until_drained()
    for restarted in (False, True):
        if restarted:
            agent.wait_until_recorded(KEY)  # or what was delivered last may be delivered again
            agent.kill()
            agent.start()
        agent.post("/queue/retry").raise_for_status()
        agent.wait_until_drained()
        assert agent.totals()["dead_lettered"] == 1
    delivered = [(number_of(e), e["action"]) for e in sandbox.events() if e["status"] == 202]
    assert delivered == [(2, "resolve"), (1, "trigger")]
    assert [alert["dedup_key"] for alert in sandbox.alerts(status="open")] == ["load"]


def test_a_resolve_that_still_waits_supersedes_its_trigger_as_well(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    refused_by_pagerduty(agent, sandbox, with_dedup_key(trigger(KEY, 0), "disk", "trigger"))
    sandbox.behave(down=True)
    agent.send_v2(with_dedup_key(trigger(KEY, 1), "disk", "resolve")).raise_for_status()
    agent.wait_for(lambda: agent.status()["pagerduty"]["state"] == "unreachable", "the outage")
    agent.post("/queue/retry").raise_for_status()
    sandbox.behave(down=False)
    agent.wait_until_drained()
    assert agent.totals()["dead_lettered"] == 1
    assert sandbox.alerts(status="open") == []


def test_a_resolve_whose_alert_was_triggered_anew_is_refused_and_explained_and_forced(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    """It would close an incident that was not meant."""
    agent.send_v2(with_dedup_key(trigger(KEY, 0), "disk", "trigger")).raise_for_status()
    agent.wait_until_drained()
    refused_by_pagerduty(agent, sandbox, with_dedup_key(trigger(KEY, 1), "disk", "resolve"))
    agent.send_v2(with_dedup_key(trigger(KEY, 2), "disk", "trigger")).raise_for_status()
    agent.wait_until_drained()
    (row,) = agent.get("/queue/events", params={"state": "dead_lettered"}).json()["events"]
    letter = row["id"]
    refusal = agent.post(f"/queue/events/{letter}/retry")
    assert refusal.status_code == 409
    assert "--force" in refusal.json()["errors"][0]
    assert sandbox.alerts(status="open"), "the incident goes on"
    agent.post(f"/queue/events/{letter}/retry", params={"force": "1"}).raise_for_status()
    agent.wait_until_drained()
    assert sandbox.alerts(status="open") == []
