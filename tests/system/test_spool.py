"""Events sent by command while the agent is down, where a spool is configured."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from pdagent.spool import SpooledEvent, put
from tests.agent_process import AgentProcess
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import key_number, numbers_by_key, trigger

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"
FULL, OTHER = key_number(1), key_number(2)


def spool_event(folder: Path, key: str, number: int) -> None:
    """What a command does while the agent is down."""
    body = json.dumps(trigger(key, number)).encode()
    put(folder, SpooledEvent(kind="v2", body=body, idempotency_key=f"{key} {number}"))


class UnprivilegedAgent(AgentProcess):
    """An agent that may read only what its user may, also as root."""

    def command(self, *arguments: str) -> list[str]:
        """The command line."""
        command = super().command(*arguments)
        if os.geteuid() != 0:
            return command
        return ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *command]


def warnings(agent: AgentProcess) -> list[str]:
    """What the status says that somebody has to see to."""
    found: list[str] = agent.status()["agent"]["warnings"]
    return found


def test_spooled_events_are_delivered_in_order_once_the_agent_runs(tmp_path: Path) -> None:
    with (
        SandboxProcess() as sandbox,
        AgentProcess(tmp_path / "agent", sandbox.url, spool=tmp_path / "spool") as agent,
    ):
        agent.kill()
        receipts = [
            agent.cli("send", "-k", KEY, "-t", "trigger", "-d", f"event {n}", "--json")
            for n in range(5)
        ]
        assert [receipt.returncode for receipt in receipts] == [0] * 5
        assert len(list((tmp_path / "spool").glob("*.event"))) == 5
        refused = agent.cli("send", "-k", "short", "-t", "trigger", "-d", "bad")
        assert refused.returncode == 2
        agent.start()
        events = sandbox.wait_for_events(5)
        assert [event["body"]["description"] for event in events] == [
            f"event {n}" for n in range(5)
        ]
        promised = [json.loads(receipt.stdout)["incident_key"] for receipt in receipts]
        assert [event["body"]["incident_key"] for event in events] == promised
        agent.wait_for(lambda: not list((tmp_path / "spool").iterdir()), "all files are removed")


def test_without_a_spool_nothing_is_stored(tmp_path: Path) -> None:
    with SandboxProcess() as sandbox, AgentProcess(tmp_path / "agent", sandbox.url) as agent:
        agent.kill()
        answer = agent.cli("send", "-k", KEY, "-t", "trigger", "-d", "lost?")
        assert answer.returncode == 69
        assert "server" in answer.stderr and len(answer.stderr.splitlines()) == 1


def test_files_that_are_no_events_are_kept_aside_and_keep_no_other_back(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    folder, elsewhere = tmp_path / "spool", tmp_path / "elsewhere"
    for number in (8, 9):
        spool_event(elsewhere, KEY, number)
    linked, large = sorted(elsewhere.iterdir())
    with large.open("ab") as file:
        file.write(b" " * (1 << 20))
    spool_event(folder, KEY, 1)
    link, fifo, inner, half, big, hard = (folder / f"{n:020d}-1.event" for n in range(6))
    link.symlink_to(linked)
    hard.hardlink_to(linked)
    os.mkfifo(fifo)
    inner.mkdir()
    half.write_text("half a fi")
    large.rename(big)
    with AgentProcess(tmp_path / "agent", sandbox.url, spool=folder) as agent:
        sandbox.wait_for_events(1)
        spool_event(folder, KEY, 2)
        sandbox.wait_for_events(2)
        assert numbers_by_key(sandbox.events()) == {KEY: [1, 2]}
        refused = {
            path.with_suffix(".refused").name for path in (link, fifo, inner, half, big, hard)
        }
        agent.wait_for(
            lambda: {path.name for path in folder.iterdir()} == refused, "the others are put aside"
        )
        (warning,) = warnings(agent)
        assert "6 files" in warning and f"{link.stem}.refused" in warning
        assert f"Warning: {warning}" in agent.cli("status").stdout
        for path, why in (
            (link, "a symbolic link"),
            (fifo, "a regular file"),
            (inner, "a regular file"),
            (half, "a spooled event"),
            (big, "larger than 1 MiB"),
            (hard, "has another name as well"),
        ):
            (line,) = (line for line in agent.log().splitlines() if path.name in line)
            assert why in line
        shutil.rmtree(folder)
        agent.wait_for(lambda: not warnings(agent), "no warning any more")
    assert linked.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_files_of_neither_the_agents_user_nor_its_group_are_refused(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    folder = tmp_path / "spool"
    for number, (user, group) in enumerate(((61234, 61234), (61234, 0), (0, 61234)), 1):
        before = set(folder.iterdir()) if folder.exists() else set()
        spool_event(folder, KEY, number)
        (file,) = set(folder.iterdir()) - before
        os.chown(file, user, group)
    with AgentProcess(tmp_path / "agent", sandbox.url, spool=folder) as agent:
        sandbox.wait_for_events(2)
        assert numbers_by_key(sandbox.events()) == {KEY: [2, 3]}
        agent.wait_for(lambda: "belongs neither to the agent's user" in agent.log(), "a reason")
        assert len(warnings(agent)) == 1


@pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None,
    reason="root may read everything, and without setpriv it can't do without",
)
@pytest.mark.parametrize("closed", ["the spool", "the directory above it", "a file"])
def test_what_the_agents_user_may_not_read_is_told_of_until_it_may(
    tmp_path: Path, sandbox: SandboxProcess, closed: str
) -> None:
    folder = tmp_path / "above" / "spool"
    folder.parent.mkdir()
    spool_event(folder, KEY, 1)
    place = {"the spool": folder, "the directory above it": folder.parent}.get(closed)
    if place is None:
        [place] = folder.iterdir()
    place.chmod(0)
    with UnprivilegedAgent(tmp_path / "agent", sandbox.url, spool=folder) as agent:
        [warning] = warnings(agent)
        assert f"{folder}" in warning
        assert "can't be read (Permission denied)" in warning
        agent.wait_for(lambda: warning in agent.log(), "the log says so too")
        place.chmod(0o700)
        sandbox.wait_for_events(1)
        agent.wait_for(lambda: not warnings(agent), "no warning any more")


def test_a_spool_that_cannot_be_listed_is_told_of_until_it_works(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    folder = tmp_path / "spool"
    folder.write_text("not a directory")
    with AgentProcess(tmp_path / "agent", sandbox.url, spool=folder) as agent:
        (warning,) = warnings(agent)
        assert f"the spool {folder} can't be read (Not a directory)" in warning
        agent.wait_for(lambda: warning in agent.log(), "the log says so too")
        folder.unlink()
        spool_event(folder, KEY, 1)
        sandbox.wait_for_events(1)
        assert warnings(agent) == []


def test_a_key_that_takes_nothing_keeps_its_order_and_no_other_key_back(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    folder = tmp_path / "spool"
    with AgentProcess(tmp_path / "agent", sandbox.url, spool=folder, max_queue_length=2) as agent:
        agent.send_v2(trigger(FULL, 0)).raise_for_status()
        agent.wait_until_drained()
        agent.post("/queue/hold", params={"rk": FULL}).raise_for_status()
        agent.send_v2(trigger(FULL, 1)).raise_for_status()
        agent.kill()
        for number in range(2, 5):
            spool_event(folder, FULL, number)
            spool_event(folder, OTHER, number)
        agent.start()
        sandbox.wait_for(lambda: len(sandbox.events(OTHER)) == 3, "the other key's events")
        # One more has filled the queue, and what is behind it waits.
        agent.wait_for(lambda: len(list(folder.iterdir())) == 2, "files of what was taken in go")
        # Told once, however often it is tried; while the queue drains it may be full once more.
        told = f"spooled events for {FULL[:4]}…{FULL[-4:]} wait"
        agent.wait_for(lambda: agent.log().count(told) == 1, "the log says so")
        agent.post("/queue/release", params={"rk": FULL}).raise_for_status()
        agent.wait_for(lambda: not list(folder.iterdir()), "all events are taken in")
        agent.wait_until_drained()
        assert numbers_by_key(sandbox.events()) == {FULL: list(range(5)), OTHER: [2, 3, 4]}


def test_while_no_new_event_is_taken_nothing_more_is_tried(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    folder = tmp_path / "spool"
    settings = {"spool": folder, "max_journal_mb": 1, "retention": "1s"}
    sandbox.behave(down=True)
    with AgentProcess(tmp_path / "agent", sandbox.url, **settings) as agent:
        for key in (KEY, OTHER, FULL):  # each fills half of the journal at most
            large = trigger(key, 0)
            large["payload"]["custom_details"]["log"] = "x" * 60_000
            while agent.send_v2(large).status_code == 200:
                pass
        for number in range(3):
            spool_event(folder, key_number(number), number)
        agent.wait_for(lambda: "spooled events for " in agent.log(), "the refusal is logged")
        sandbox.behave(down=False)
        agent.wait_for(lambda: not list(folder.iterdir()), "all events are taken in")
        assert agent.log().count("spooled events for ") == 1
