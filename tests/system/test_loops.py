"""Delivery loops: an agent that reaches itself, and agents that deliver to each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agent_process import AgentProcess
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import key_number, trigger

V1 = {"service_key": f"{7:032x}", "event_type": "trigger", "description": "disk full"}


def cause_of(agent: AgentProcess) -> str:
    """Wait until the link is failing; returns why."""
    agent.wait_for(lambda: agent.status()["pagerduty"]["state"] == "failing", "the loop is seen")
    return str(agent.status()["pagerduty"]["last_error"])


def settings_of(agent: AgentProcess) -> dict[str, str]:
    lines = agent.config.read_text().splitlines()
    return {name: value for name, _, value in (line.partition(": ") for line in lines)}


# With `require_secret` the agent would answer itself 401, and under a path 404: PagerDuty's refusal
# of an event looks the same.
@pytest.mark.parametrize(
    ("path", "settings"),
    [("", {}), ("", {"require_secret": "true"}), ("/prefix", {})],
    ids=["plain", "secret", "path"],
)
def test_an_agent_that_delivers_to_itself_keeps_the_events_and_says_why(
    sandbox: SandboxProcess, tmp_path: Path, path: str, settings: dict[str, str]
) -> None:
    agent = AgentProcess(tmp_path, "")
    lines = settings_of(agent) | settings
    loop = {
        "events_url": f"http://events.invalid:{agent.address.rpartition(':')[2]}{path}",
        "deliver_via": "127.0.0.1",
        "give_up_after": "1s",
    }
    agent.write_config(lines | loop)
    with agent:
        agent.send_v2(trigger(key_number(1), 0)).raise_for_status()
        # At once: several attempts of one key alone would be failing only after a minute.
        cause = cause_of(agent)
        agent.send_v1(V1).raise_for_status()
        assert cause.startswith("events_url events.invalid leads to this agent itself: ")
        assert "deliver_via" in cause
        assert agent.get("/health").text.endswith(cause)
        assert cause in agent.cli("status").stdout
        agent.wait_for(lambda: f"can't be reached ({cause})" in agent.log(), "the log says it")
        tried = 'pdagent_deferred_total{reason="loop"} '
        agent.wait_for(
            lambda: float(agent.get("/metrics").text.partition(tried)[2].split()[0]) > 2,
            "attempts for longer than give_up_after",
        )
        totals = agent.totals()
        assert (totals["accepted"], totals["waiting"], totals["dead_lettered"]) == (2, 2, 0)
        agent.write_config(lines | {"events_url": sandbox.url})
        agent.restart()
        agent.wait_until_drained()
        assert agent.totals()["delivered"] == len(sandbox.events()) == 2
        assert agent.status()["pagerduty"]["state"] == "reachable"


def test_a_chain_of_agents_delivers_and_a_circle_is_noticed(
    sandbox: SandboxProcess, tmp_path: Path
) -> None:
    with (
        AgentProcess(tmp_path / "last", sandbox.url) as last,
        AgentProcess(tmp_path / "first", last.url) as first,
    ):
        first.send_v2(trigger(key_number(1), 0)).raise_for_status()
        sandbox.wait_for_events(1)
        last.write_config(settings_of(last) | {"events_url": first.url})
        last.restart()
        first.send_v2(trigger(key_number(1), 1)).raise_for_status()
        assert "agents deliver to each other" in cause_of(last)
        first.wait_until_drained()
        assert (first.totals()["accepted"], last.totals()["waiting"]) == (2, 1)
        # From here on `last` knows by its journal alone that the event came from `first`.
        last.kill()
        last.start()
        assert "agents deliver to each other" in cause_of(last)
        last.write_config(settings_of(last) | {"events_url": sandbox.url})
        last.restart()
        last.wait_until_drained()
        assert len(sandbox.events()) == 2


def test_an_agent_that_wants_its_secret_from_another_costs_no_event(
    sandbox: SandboxProcess, tmp_path: Path
) -> None:
    with (
        AgentProcess(tmp_path / "last", sandbox.url, require_secret="true") as last,
        AgentProcess(tmp_path / "first", last.url) as first,
    ):
        first.send_v2(trigger(key_number(1), 0)).raise_for_status()
        first.wait_for(lambda: first.status()["queues"][0]["last_error"], "it is refused")
        assert "the secret is missing" in first.status()["queues"][0]["last_error"]
        last.write_config(settings_of(last) | {"require_secret": "false"})
        last.restart()
        sandbox.wait_for_events(1)
        first.wait_until_drained()
        assert first.totals()["dead_lettered"] == 0


def test_whatever_stands_in_the_header_an_event_of_others_is_taken_and_delivered(
    sandbox: SandboxProcess, tmp_path: Path
) -> None:
    headers = ["", ",,", "x" * 10_000, "a,b,c", "\xe4\xf6", '"; drop', ",".join("a" * 7)]
    with AgentProcess(tmp_path, sandbox.url) as agent:
        for number, header in enumerate(headers):
            event = trigger(key_number(1), number)
            agent.send_v2(event, **{"Pd-Agent-Id": header}).raise_for_status()
        sandbox.wait_for_events(len(headers))


def test_events_go_round_no_more_than_eight_agents(sandbox: SandboxProcess, tmp_path: Path) -> None:
    with AgentProcess(tmp_path, sandbox.url) as agent:
        refused = agent.post(
            "/v2/enqueue",
            json=trigger(key_number(1), 0),
            headers={"Pd-Agent-Id": "a,b,c,d,e,f,g,h"},
        )
        assert refused.status_code == 508
        assert refused.json()["status"] == "service unavailable"
        assert "retry later" in refused.text
        assert agent.totals()["accepted"] == 0
