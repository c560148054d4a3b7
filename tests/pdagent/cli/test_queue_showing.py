"""`queue show`: the advice it gives, ids that are none, keys that are shown whole; a real agent."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from pdagent.cli import main
from tests.agent_process import AgentProcess
from tests.operator_shell import OperatorShell, command_in
from tests.pdagent.httpapi.sample_events import new_key, trigger
from tests.sandbox_process import SandboxProcess

KEY, OTHER = (letter + new_key()[1:] for letter in "ab")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess() as process:
        yield process


@pytest.fixture(scope="module")
def agent(
    tmp_path_factory: pytest.TempPathFactory, sandbox: SandboxProcess
) -> Iterator[AgentProcess]:
    directory = tmp_path_factory.mktemp("showing") / "agent"
    with AgentProcess(directory, sandbox.url, routing_keys={"database": KEY}) as process:
        yield process


def test_a_dead_letter_whose_alert_was_resolved_is_not_advised_to_be_sent(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    shell = OperatorShell(agent)
    sandbox.behave(fail=400)
    died = agent.send_v2(trigger(KEY, dedup_key="disk")).json()["key"]
    agent.wait_for(lambda: agent.totals()["dead_lettered"] == 1, "a dead letter")
    assert "queue retry" in shell.output(f"pagerduty-agent queue show {died}")
    sandbox.behave(fail=None)
    resolve = {"routing_key": KEY, "event_action": "resolve", "dedup_key": "disk"}
    by = agent.send_v2(resolve).json()["key"]
    agent.wait_until_drained()

    shown = shell.output(f"pagerduty-agent queue show {died}")
    assert f"Its alert was resolved meanwhile, by event {by}: sent now, it would open" in shown
    assert "enqueue" not in shown
    assert command_in(shown, "queue retry") == f"pagerduty-agent queue retry --force {died}"
    row = json.loads(agent.cli("queue", "list", "--json").stdout)
    assert row["superseded_by"] == by
    assert "Discarded 1 event" in shell.output(f"{command_in(shown, 'queue discard')} --yes")
    assert "What you can do" not in shell.output(f"pagerduty-agent queue show {died}")


def test_an_event_that_waits_for_pagerduty_is_not_advised_to_be_retried(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    shell = OperatorShell(agent)
    sandbox.behave(down=True)
    try:
        event = agent.send_v2(trigger(KEY)).json()["key"]
        shown = ""

        def waits() -> bool:
            # Again and again the event is the probe, and in flight for a moment.
            nonlocal shown
            shown = shell.output(f"pagerduty-agent queue show {event}")
            return "\n  state         deferred" in shown

        agent.wait_for(waits, "an attempt has failed")
        assert "PagerDuty could not be reached. The event is sent when that works again" in shown
        assert "\n  next attempt" not in shown
        assert "queue retry" not in shown
        assert "unreachable for" in shell.output(command_in(shown, "agent status"))
    finally:
        sandbox.behave(down=False)
    agent.wait_until_drained()


def test_an_event_of_a_held_key_names_the_hold_and_how_to_end_it(agent: AgentProcess) -> None:
    shell = OperatorShell(agent)
    shell.output("pagerduty-agent queue hold -k database --reason 'upgrade of db1'")
    try:
        event = agent.send_v2(trigger(KEY)).json()["key"]
        shown = shell.output(f"pagerduty-agent queue show {event}")
        assert "Its key is held (upgrade of db1): its events are not delivered" in shown
        assert "the events before it" not in shown
    finally:
        released = shell.output(command_in(shown, "queue release"))
    assert released.startswith("Released database.")
    agent.wait_until_drained()


@pytest.mark.parametrize("given", ["", "  ", "\udcff", "0198\udcff", "ä"])
@pytest.mark.parametrize("command", [["show"], ["retry"], ["discard", "--yes"]], ids=" ".join)
def test_what_can_be_no_id_is_wrong_usage(
    agent: AgentProcess, command: list[str], given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(agent.config), "queue", *command, given]) == 2
    done = capsys.readouterr()
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1


def test_a_reason_that_is_not_utf_8_is_repaired(agent: AgentProcess) -> None:
    held = agent.cli("queue", "hold", "-k", "database", "--reason", "Gr\udcf6sse")
    assert (held.returncode, held.stderr.count("\n")) == (0, 1)
    assert held.stderr.startswith("warning: a text isn't UTF-8")
    assert held.stdout.startswith("Holding database: Gr\ufffdsse.")
    event = agent.send_v2(trigger(KEY)).json()["key"]
    gone = agent.cli("queue", "discard", "--yes", event, "--reason", "\udcff")
    assert (gone.returncode, gone.stdout) == (0, "Discarded 1 event.\n")
    assert agent.cli("queue", "release", "-k", "database").returncode == 0


def test_whole_keys_show_when_asked_for_and_names_stay(agent: AgentProcess) -> None:
    for key in (KEY, OTHER):
        event = agent.send_v2(trigger(key)).json()["key"]
    agent.wait_until_drained()
    listing = ("queue", "list", "--state", "delivered")
    for command in (
        ("status",),
        ("queue", "status"),
        listing,
        (*listing, "--json"),
        ("queue", "show", event),
        ("queue", "show", event, "--json"),
    ):
        masked, whole = agent.cli(*command), agent.cli(*command, "--show-keys")
        assert (masked.returncode, whole.returncode, whole.stderr) == (0, 0, "")
        assert OTHER not in masked.stdout
        assert OTHER in whole.stdout
        assert KEY not in whole.stdout
        assert "show" in command or "database" in whole.stdout
