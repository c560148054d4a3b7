"""`queue list`, `retry`, `discard`, `hold`, `release` and `tail`, from a shell, on a real agent."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent_process import COMMAND_SECONDS, AgentProcess
from tests.operator_shell import OperatorShell, command_in
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import key_number, numbers_by_key, trigger

KEY, OTHER = key_number(1), key_number(2)
MASKED_OTHER = "0000...0002"
# What jq does in people's hands: it may not be there.
PICK = (
    f"{sys.executable} -c 'import sys, json\n"
    "for line in sys.stdin:\n event = json.loads(line)\n if {condition}: print({what})'"
)


@pytest.fixture
def agent(tmp_path: Path, sandbox: SandboxProcess) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path / "agent", sandbox.url, routing_keys={"database": KEY}) as process:
        yield process


@pytest.fixture
def shell(agent: AgentProcess) -> OperatorShell:
    return OperatorShell(agent)


def dead(agent: AgentProcess, sandbox: SandboxProcess, *events: tuple[str, int]) -> list[str]:
    """Have numbered events of keys become dead letters; their ids."""
    sandbox.behave(fail=400)
    ids = [agent.send_v2(trigger(key, number)).json()["key"] for key, number in events]
    agent.wait_for(lambda: agent.totals()["waiting"] == 0, "they are dead letters")
    sandbox.behave(fail=None)
    return ids


def rows_of(lines: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.splitlines()]


def test_lists_go_through_pipes_into_other_commands(
    agent: AgentProcess, sandbox: SandboxProcess, shell: OperatorShell
) -> None:
    ids = dead(agent, sandbox, (KEY, 0), (KEY, 1), (OTHER, 2), (OTHER, 3))
    rows = rows_of(shell.output("pagerduty-agent queue list --json"))
    assert [row["id"] for row in rows] == ids
    plain = shell.output("pagerduty-agent queue list").splitlines()
    assert [line.split()[:3] for line in plain[1:]] == [
        [id_, "dead_lettered", queue]
        for id_, queue in zip(ids, ["database"] * 2 + ["0000…0002"] * 2, strict=True)
    ]
    assert all("The sandbox was told to refuse this" in line for line in plain[1:])
    completing = "_PAGERDUTY_AGENT_COMPLETE=bash_complete pagerduty-agent"
    offered = shell.output(f"COMP_WORDS='pagerduty-agent queue show {ids[3]}' {completing}")
    assert offered == f"plain,{ids[3]}\n"

    whole = PICK.format(condition='event["queue"] == "database"', what="line")
    retried = shell.output(
        f"pagerduty-agent queue list --json | {whole} | pagerduty-agent queue retry -"
    )
    assert retried == "Retrying 2 events.\n"
    bare = PICK.format(condition="True", what='event["id"][:18]')
    listing = f"pagerduty-agent queue list --json -k {MASKED_OTHER} --limit 1"
    discarded = shell.output(f"{listing} | {bare} | pagerduty-agent queue discard --yes -")
    assert discarded == "Discarded 1 event.\n"
    agent.wait_for(lambda: "EventDelivered" in agent.get(f"/queue/events/{ids[1]}").text, "its end")
    assert numbers_by_key(sandbox.events()) == {KEY: [0, 1]}
    [left] = rows_of(shell.output("pagerduty-agent queue list --json"))
    assert left["id"] == ids[3]
    delivered = shell.output("pagerduty-agent queue list --state delivered -k @database --json")
    assert [row["id"] for row in rows_of(delivered)] == [ids[1], ids[0]]
    assert shell.output("pagerduty-agent queue retry -", stdin="") == "Retrying 0 events.\n"


def test_what_is_refused_has_a_line_each_and_the_rest_is_done(
    agent: AgentProcess, sandbox: SandboxProcess, shell: OperatorShell
) -> None:
    [first, second] = dead(agent, sandbox, (KEY, 0), (OTHER, 1))
    stdin = f'{first}\n\n"{second}"\nzz\n'
    done = shell.run("pagerduty-agent queue retry -", stdin=stdin)
    assert (done.returncode, done.stdout) == (1, "Retrying 2 events.\n")
    [line] = done.stderr.splitlines()
    assert line.startswith("error: no event has an id with 'zz' in it: ")
    agent.wait_for(lambda: "EventDelivered" in agent.get(f"/queue/events/{first}").text, "its end")
    ended = shell.run(f"pagerduty-agent queue discard --yes {first} --json")
    assert ended.returncode == 1
    [refused] = json.loads(ended.stdout)["refused"]
    assert (refused["id"], refused["status"]) == (first, 409)
    assert "was delivered" in shell.output(command_in(ended.stderr, "queue show"))
    unknown = shell.refusal("pagerduty-agent queue show zz", 1)
    assert "No events wait" in shell.output(command_in(unknown, "queue list"))
    for command in ("retry", "discard --yes", "hold", "release"):
        shell.refusal(f"pagerduty-agent queue {command} -k {key_number(9)}", 1)
    told = shell.refusal("pagerduty-agent queue retry -", 2, stdin=f"{first}\nNot an id!\n")
    assert told.startswith("Line 2 of standard input is no id")
    assert agent.stop() == 0
    for command in ("list", "show 1", "retry --all", "hold -k @database", "tail"):
        told = shell.refusal(f"pagerduty-agent queue {command}", 69)
        assert "no agent answers" in told
        assert "stored" not in told


def test_discarding_a_queue_asks_with_numbers(
    agent: AgentProcess, sandbox: SandboxProcess, shell: OperatorShell
) -> None:
    dead(agent, sandbox, (KEY, 0))
    shell.output("pagerduty-agent queue hold -k @database")
    for number in (1, 2):
        agent.send_v2(trigger(KEY, number)).raise_for_status()
    line = "pagerduty-agent queue discard -k @database"
    shown = shell.on_terminal(line, "n\n", code=1)
    assert "Discard all events of database (2 waiting, 1 dead-lettered)?" in shown
    assert agent.totals()["discarded"] == 0
    shown = shell.on_terminal(f"{line} --state dead_lettered", "y\n")
    assert (
        "Discard the events in state dead_lettered of database (2 waiting, 1 dead-lettered)?"
        in shown
    )
    assert agent.totals() | {"accepted": 0} == {
        "accepted": 0,
        "delivered": 0,
        "waiting": 2,
        "dead_lettered": 0,
        "discarded": 1,
    }
    assert "Discarded 2 events." in shell.output(f"{line} --yes --reason 'maintenance'")
    latest = rows_of(shell.output("pagerduty-agent queue list --state discarded --json"))[0]
    life = shell.output(f"pagerduty-agent queue show {latest['id']}")
    assert life.rstrip().endswith("discarded    maintenance")


def test_a_held_key_stays_held_over_a_restart_and_the_command_to_go_on_is_printed(
    agent: AgentProcess, sandbox: SandboxProcess, shell: OperatorShell
) -> None:
    held = shell.output("pagerduty-agent queue hold -k @database --reason upgrade")
    assert held.startswith("Holding database: upgrade.")
    agent.kill()
    agent.start()
    agent.send_v2(trigger(KEY, 0)).raise_for_status()
    agent.send_v2(trigger(OTHER, 1)).raise_for_status()
    sandbox.wait_for_events(1)
    assert numbers_by_key(sandbox.events()) == {OTHER: [1]}
    [queue] = agent.status(rk=KEY)["queues"]
    assert (queue["held"], queue["hold_reason"], queue["pending"]) == (True, "upgrade", 1)
    going_on = held.partition("To go on: ")[2].strip()
    # It must not be delivered before it is counted.
    sandbox.behave(fail=503)
    assert shell.output(going_on) == "Released database. 1 event waits for delivery.\n"
    sandbox.behave(fail=None)
    agent.wait_until_drained()
    assert numbers_by_key(sandbox.events()) == {KEY: [0], OTHER: [1]}


def lines_of(file: Path) -> list[str]:
    return file.read_text().splitlines()


def stopped_by_ctrl_c(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGINT)
    return process.wait(COMMAND_SECONDS)


def test_a_tail_follows_the_agent_through_a_restart_and_a_kill_until_ctrl_c(
    agent: AgentProcess, sandbox: SandboxProcess, shell: OperatorShell, tmp_path: Path
) -> None:
    plain, as_json = tmp_path / "plain", tmp_path / "json"
    with (
        shell.start("pagerduty-agent queue tail", plain) as everything,
        shell.start("pagerduty-agent queue tail -k @database --json", as_json) as one_key,
    ):
        for times, end in enumerate((agent.stop, agent.kill, None), 1):
            word = "following" if times == 1 else "the agent is back"
            for output in (plain, as_json):
                agent.wait_for(
                    lambda: sum(word in line for line in lines_of(output)) >= max(1, times - 1),  # noqa: B023
                    f"the tail follows: {word}",
                )
            for key in (KEY, OTHER):
                agent.send_v2(trigger(key, times)).raise_for_status()
            for output, word, count in (
                (plain, " delivered ", 2 * times),
                (as_json, "EventDelivered", times),
            ):
                agent.wait_for(
                    lambda: sum(word in line for line in lines_of(output)) == count,  # noqa: B023
                    "the deliveries are told",
                )
            if end is not None:
                end()
                for output in (plain, as_json):
                    agent.wait_for(
                        lambda: "the agent is gone" in lines_of(output)[-1],  # noqa: B023
                        "its end is noticed",
                    )
                agent.start()
        codes = [stopped_by_ctrl_c(everything), stopped_by_ctrl_c(one_key)]
    assert codes == [130, 130]
    assert KEY not in plain.read_text() + as_json.read_text()
    told = [json.loads(line) for line in lines_of(as_json) if line.startswith("{")]
    assert [record["record"] for record in told] == 3 * [
        "EventAccepted",
        "DeliveryStarted",
        "EventDelivered",
    ]
    assert {record["queue"] for record in told} == {"database"}
