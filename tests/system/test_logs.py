"""What a real agent logs: each transition, an outage once, and never a credential."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pdagent import __version__
from pdagent.spool import SpooledEvent, put
from tests.agent_process import AgentProcess
from tests.credentials import CredentialShown
from tests.sandbox_process import SandboxProcess
from tests.system import faulty_agent
from tests.system.faulty_agent import FaultyAgent
from tests.system.numbered_events import trigger

DATABASE, UNNAMED = "d4t4b4s3" * 4, "k3y" * 10 + "z9"


@pytest.fixture
def agent(tmp_path: Path, sandbox: SandboxProcess) -> Iterator[FaultyAgent]:
    names = {"database": DATABASE}
    process = FaultyAgent(tmp_path / "agent", sandbox.url, routing_keys=names, log_format="json")
    with process:
        yield process


def lines(agent: AgentProcess) -> list[dict[str, Any]]:
    """The log, each line a JSON object."""
    return [json.loads(line) for line in agent.log().splitlines()]


def lives(agent: AgentProcess) -> dict[str, list[str]]:
    """What is told of each event, in order."""
    told: dict[str, list[str]] = {}
    for line in lines(agent):
        if "event" in line:
            told.setdefault(line["event"], []).append(line["message"])
    return told


def test_the_log_tells_the_life_of_each_event_and_of_an_outage_once(
    agent: FaultyAgent, sandbox: SandboxProcess
) -> None:
    first = agent.send_v2(trigger(DATABASE)).json()["key"]
    agent.wait_until_drained()
    sandbox.behave(down=True)
    second = agent.send_v2(trigger(DATABASE, 1)).json()["key"]
    third = agent.send_v2(trigger(UNNAMED, 2)).json()["key"]
    agent.wait_for(lambda: "can't be reached" in agent.log(), "the log tells of the outage")
    attempts = 'pdagent_deferred_total{reason="unreachable"}'
    agent.wait_for(
        lambda: any(
            line.startswith(attempts) and float(line.split()[-1]) >= 3
            for line in agent.get("/metrics").text.splitlines()
        ),
        "three failed attempts",
    )
    sandbox.behave(down=False)
    agent.wait_until_drained()
    sandbox.behave(fail=400)
    fourth = agent.send_v2(trigger(UNNAMED, 3)).json()["key"]
    agent.wait_for(lambda: agent.totals()["dead_lettered"] == 1, "a dead letter")
    agent.stop()
    told = lives(agent)
    assert told[first] == told[second] == told[third] == ["accepted", "delivered"]
    assert told[fourth] == ["accepted", "dead_lettered"]
    about_the_link = [line["message"] for line in lines(agent) if "PagerDuty" in line["message"]]
    assert len(about_the_link) == 2, about_the_link
    assert about_the_link[0].startswith("PagerDuty can't be reached (127.0.0.1:")
    assert "accepts events again after" in about_the_link[1]
    queues = {line["event"]: line["queue"] for line in lines(agent) if "event" in line}
    assert queues == {
        first: "database",
        second: "database",
        third: "k3yk…3yz9",
        fourth: "k3yk…3yz9",
    }
    letter = next(line for line in lines(agent) if line["message"] == "dead_lettered")
    assert (letter["level"], letter["reason"]) == ("warning", "http_400")
    assert letter["see"] == f"pagerduty-agent queue show {fourth}"


def test_a_start_tells_what_is_there_and_which_event_is_sent_again(
    agent: FaultyAgent, sandbox: SandboxProcess
) -> None:
    sandbox.behave(hang_key=DATABASE, hang=30)
    agent.send_v2(trigger(DATABASE, 0)).raise_for_status()
    agent.send_v2(trigger(DATABASE, 1)).raise_for_status()
    sandbox.wait_for(lambda: sandbox.events(DATABASE), "the delivery has begun")
    agent.wait_for(lambda: len(lives(agent)) == 2, "both are in the log")
    first = next(iter(lives(agent)))
    agent.kill()
    sandbox.behave(hang_key=[])
    agent.restart()
    agent.wait_until_drained()
    agent.stop()
    told = [line["message"] for line in lines(agent)]
    start = f"started: pid {agent.pid}, version {__version__}, journal {agent.journal}, "
    assert f"{start}2 events wait" in told
    [unknown] = [line for line in lines(agent) if "is unknown" in line["message"]]
    assert unknown["message"] == "the outcome of an attempt is unknown, its event is sent again"
    assert unknown["reason"] == f"the agent ended while event {first} was on its way"
    assert unknown["queue"] == "database"


def test_log_level_warning_leaves_out_what_is_usual_and_nothing_else(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    with AgentProcess(tmp_path / "quiet", sandbox.url, log_level="warning") as agent:
        agent.send_v2(trigger(UNNAMED)).raise_for_status()
        agent.wait_until_drained()
        agent.wait_for(lambda: agent.totals()["delivered"] == 1, "it is delivered")
        assert agent.log() == ""
        sandbox.behave(fail=400)
        agent.send_v2(trigger(UNNAMED, 1)).raise_for_status()
        agent.wait_for(lambda: "dead_lettered" in agent.log(), "the log tells of the dead letter")
        sandbox.behave(fail=None, down=True)
        agent.send_v2(trigger(UNNAMED, 2)).raise_for_status()
        agent.wait_for(lambda: "can't be reached" in agent.log(), "the log tells of the outage")
        sandbox.behave(down=False)
        agent.wait_until_drained()
        agent.wait_for(lambda: "accepts events again" in agent.log(), "the log tells of its end")
        agent.stop()
        assert {line.split()[1] for line in agent.log().splitlines()} == {"WARNING"}


@pytest.mark.parametrize(
    ("fault", "log_format"), [("deliver", "json"), ("decide", "console"), ("accept", "json")]
)
def test_a_part_that_fails_shows_no_credential_and_loses_nothing(
    tmp_path: Path, sandbox: SandboxProcess, fault: str, log_format: str
) -> None:
    names = {"database": DATABASE}
    agent = FaultyAgent(tmp_path / "agent", sandbox.url, routing_keys=names, log_format=log_format)
    agent.fault = fault
    agent.credentials.note(faulty_agent.key_of_the_test())
    with agent:
        sent = 0
        for number in range(faulty_agent.TIMES + 2):
            for key in (DATABASE, UNNAMED):
                answer = agent.send_v2(trigger(key, number))
                assert key not in answer.text
                assert agent.secret not in answer.text
                sent += answer.status_code == 200
        agent.wait_for(lambda: agent.totals()["delivered"] == sent, "all are delivered", 40)
        agent.wait_for(lambda: "can't work on" in agent.log(), "the log tells of the error")
        log = agent.log()
        assert "Traceback" in log
        assert "d4t4…b4s3" in log or "s3qu…3y0z" in log, "with its key masked"
        for command in (["status"], ["queue", "status"], ["status", "--json"], ["queue", "list"]):
            agent.cli(*command)  # which looks for credentials in what is printed
        metrics = agent.get("/metrics").text
        agent.credentials.check(metrics + agent.get("/status").text, "the agent's answers")


def test_a_mistake_while_a_spooled_event_is_taken_in_concerns_no_other_and_is_tried_again(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    folder = tmp_path / "spool"
    for number in range(faulty_agent.TIMES + 1):
        body = json.dumps(trigger(DATABASE, number)).encode()
        put(folder, SpooledEvent(kind="v2", body=body, idempotency_key=str(number)))
    agent = FaultyAgent(tmp_path / "agent", sandbox.url, spool=folder)
    agent.fault = "spooled"
    agent.credentials.note(DATABASE)
    with agent:
        sandbox.wait_for_events(faulty_agent.TIMES + 1)
        said = "can't be taken in: the agent's log says why"
        agent.wait_for(lambda: agent.log().count(said) == 2, "the log tells of each")
        assert "can't work on" in agent.log()


def test_a_key_whose_actor_fails_again_and_again_is_shown_as_quarantined(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    names = {"database": DATABASE}
    agent = FaultyAgent(tmp_path / "agent", sandbox.url, routing_keys=names)
    agent.fault = "decide"
    agent.env["PDAGENT_FAULT_TIMES"] = "1000"

    def is_quarantined() -> bool:
        agent.send_v2(trigger(DATABASE))
        return bool(agent.status()["agent"]["queues"]["quarantined"])

    with agent:
        agent.wait_for(is_quarantined, "the key is quarantined", 60)
        (row,) = agent.status()["queues"]
        assert row["quarantined"] is True
        shown = agent.cli("status").stdout
        assert f"{row['queue']} quarantined after failures: see the agent's log" in shown
        agent.wait_for(lambda: "is quarantined for" in agent.log(), "the log tells of it")
        said = re.compile(r"sequencer \d+ failed|is quarantined for")
        told = [line for line in agent.log().splitlines() if said.search(line)]
        assert len(told) > 5
        assert all(line.endswith(" queue=database") for line in told), "as 'status' calls it"
        assert shown.splitlines()[-1].split()[5] == "quarantined"
        metrics = agent.get("/metrics").text
        assert "pdagent_queues_quarantined 1.0" in metrics
        assert 'pdagent_actor_restarts_total{actor="sequencer"} 0.0' not in metrics
        assert agent.is_healthy(), "one key never makes the agent unready"


def test_a_command_that_is_used_wrongly_does_not_repeat_the_key(agent: FaultyAgent) -> None:
    for arguments, key in (
        (["send", "-k"], UNNAMED),
        (["enqueue", "--routing-keys"], DATABASE + "x"),
        (["queue", "retry", "--no-such-option"], UNNAMED),
        (["queue", "hold", "-k"], UNNAMED),
        (["queue", "hold", "-k"], DATABASE + "x"),
        (["queue", "show"], UNNAMED),
        (["status", "--sort"], UNNAMED),
        (["change", "-k"], DATABASE + "x"),
        ([], UNNAMED),
        (["no-such-command"], DATABASE + "x"),
    ):
        agent.credentials.note(key)
        done = agent.cli(*arguments, key)
        assert done.returncode in (1, 2), done.stdout
        assert "Traceback" not in done.stderr


def test_a_credential_in_an_agents_log_fails_the_test(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    """The search itself is tested: it finds what it looks for."""
    agent = AgentProcess(tmp_path, sandbox.url, routing_keys={"a": DATABASE})
    with pytest.raises(CredentialShown) as caught, agent:
        agent.send_v2(trigger(UNNAMED)).raise_for_status()
        for leak in (agent.secret, DATABASE, UNNAMED):
            with pytest.raises(CredentialShown):
                agent.credentials.check_log(f"oops {leak}\n", "a log")
        with (agent.directory / "agent.log").open("a") as log:
            log.write(f"oops {UNNAMED}\n")
    assert UNNAMED not in str(caught.value)
