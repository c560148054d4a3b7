"""`import`: the queue of PagerDuty's Python agent is taken over in order, whole, and once."""

from __future__ import annotations

import fcntl
import json
import subprocess
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.agent_process import AgentProcess
from tests.python_agent_queue import PythonAgentQueue, event
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import KEY, key_number, without_repetitions

KEYS = 4
WAITING, FAILED = 200, 20


@pytest.fixture
def queue(tmp_path: Path) -> PythonAgentQueue:
    return PythonAgentQueue(tmp_path / "outqueue")


def numbered(number: int) -> dict[str, Any]:
    """An event of one of the keys; every other one has no incident key, as `pd-send` leaves it."""
    incident = f"incident/{number}" if number % 2 else None
    return event(key_number(number % KEYS), incident=incident, details={"number": number})


def filled(queue: PythonAgentQueue) -> dict[str, list[int]]:
    """200 waiting and 20 failed events among them; the numbers of each key in their order."""
    expected = defaultdict(list)
    for number in range(WAITING + FAILED):
        queue.put("pdq" if number % 11 else "err", number, numbered(number))
        expected[key_number(number % KEYS)].append(number)
    assert len(queue.names("pdq")) == WAITING and len(queue.names("err")) == FAILED
    return dict(expected)


def delivered(sandbox: SandboxProcess) -> dict[str, list[int]]:
    """The numbers of the events of each key in the order of their arrival."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for received in sandbox.events():
        if received["effective"]:
            numbers[received["routing_key"]].append(received["body"]["details"]["number"])
    return {key: without_repetitions(each) for key, each in numbers.items()}


def run_import(
    agent: AgentProcess, queue: PythonAgentQueue, *options: str
) -> subprocess.CompletedProcess[str]:
    return agent.cli("import", str(queue.directory), *options)


def test_all_waiting_and_failed_events_are_delivered_in_their_order(
    agent: AgentProcess, sandbox: SandboxProcess, queue: PythonAgentQueue
) -> None:
    expected = filled(queue)
    done = run_import(agent, queue)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Imported 220 events from {queue.directory} (200 waiting, 20 failed)." in done.stdout
    assert (queue.names("pdq"), queue.names("err")) == ([], [])
    assert len(queue.names("imported")) == WAITING + FAILED
    sandbox.wait_for_events(WAITING + FAILED, timeout=60)
    assert delivered(sandbox) == expected
    received = sandbox.events()[0]["body"]
    assert received["agent"] == event(KEY)["agent"], "who queued it, and when"

    again = run_import(agent, queue, "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout) == {"waiting": 0, "failed": 0, "superseded": [], "refused": []}
    assert agent.totals()["accepted"] == WAITING + FAILED


def test_kills_in_the_middle_lose_and_repeat_nothing(
    agent: AgentProcess, sandbox: SandboxProcess, queue: PythonAgentQueue
) -> None:
    expected = filled(queue)
    imported = queue.directory / "imported"

    def begun(count: int) -> subprocess.Popen[bytes]:
        """An import that has moved `count` files."""
        process = subprocess.Popen(
            agent.command("import", str(queue.directory)),
            env=agent.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        deadline = time.monotonic() + 60
        while not imported.is_dir() or len(queue.names("imported")) < count:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        return process

    for count in (20, 60):
        with begun(count) as process:
            process.kill()
        assert queue.names("pdq")
    with begun(100) as process:
        agent.kill()
        _, errors = process.communicate(timeout=60)
    assert process.returncode in (1, 69)
    assert b"not imported" in errors and len(errors.splitlines()) == 1
    agent.start()
    assert run_import(agent, queue).returncode == 0
    sandbox.wait_for_events(WAITING + FAILED, timeout=60)
    agent.wait_until_drained()
    assert delivered(sandbox) == expected
    assert agent.totals()["accepted"] == WAITING + FAILED


def test_an_event_whose_file_was_not_moved_any_more_is_not_stored_again(
    agent: AgentProcess, queue: PythonAgentQueue
) -> None:
    path = queue.put("pdq", 1, event(KEY))
    body = path.read_bytes()
    assert run_import(agent, queue).returncode == 0
    queue.put_bytes("err", path.name, body)
    done = run_import(agent, queue)
    assert "1 event" in done.stdout and not queue.names("err")
    assert agent.totals()["accepted"] == 1


def test_an_address_given_as_an_option_comes_before_the_socket_of_the_config(
    tmp_path: Path, sandbox: SandboxProcess, queue: PythonAgentQueue
) -> None:
    queue.put("pdq", 1, event(KEY))
    with AgentProcess(tmp_path / "a", sandbox.url, socket=tmp_path / "gone.sock") as agent:
        (tmp_path / "gone.sock").unlink()
        done = agent.cli("--address", agent.address, "import", str(queue.directory))
        assert (done.returncode, done.stderr) == (0, "")


def test_without_an_agent_nothing_is_moved(agent: AgentProcess, queue: PythonAgentQueue) -> None:
    queue.put("pdq", 1, event(KEY))
    queue.put("err", 2, event(KEY))
    agent.stop()
    done = run_import(agent, queue)
    assert done.returncode == 69
    assert "2 events not imported yet" in done.stderr and len(done.stderr.splitlines()) == 1
    assert (len(queue.names("pdq")), len(queue.names("err"))) == (1, 1)


def test_a_full_queue_interrupts_it_until_there_is_room(
    tmp_path: Path, sandbox: SandboxProcess, queue: PythonAgentQueue
) -> None:
    for number in range(5):
        queue.put("pdq", number, event(KEY, incident=str(number), details={"number": number}))
    sandbox.behave(down=True)
    with AgentProcess(tmp_path / "agent", sandbox.url, max_queue_length=3) as agent:
        done = run_import(agent, queue)
        assert done.returncode == 75
        assert "2 events not imported yet" in done.stderr and len(queue.names("pdq")) == 2
        sandbox.behave(down=False)
        agent.wait_until_drained()
        assert run_import(agent, queue).returncode == 0
        agent.wait_until_drained()
    assert delivered(sandbox) == {KEY: [0, 1, 2, 3, 4]}


def test_a_failed_event_is_left_if_a_later_one_has_ended_its_alert(
    agent: AgentProcess, sandbox: SandboxProcess, queue: PythonAgentQueue
) -> None:
    queue.put("err", 1, event(KEY, "trigger", "db1"))
    queue.put("suc", 2, event(KEY, "resolve", "db1"))
    queue.put("pdq", 3, event(KEY, "trigger", "db2"))
    done = run_import(agent, queue)
    assert done.returncode == 0
    assert "1 failed event left" in done.stderr and "--force" in done.stderr
    sandbox.wait_for_events(1)
    forced = run_import(agent, queue, "--force", "-q")
    assert (forced.returncode, forced.stdout, forced.stderr) == (0, "", "")
    sandbox.wait_for_events(2)
    assert [alert["dedup_key"] for alert in sandbox.alerts()] == ["db2", "db1"]


def test_what_is_no_event_is_named_and_keeps_no_other_back(
    agent: AgentProcess, sandbox: SandboxProcess, queue: PythonAgentQueue
) -> None:
    queue.put("pdq", 1, event(KEY, "trigger", "db1", description=""))
    queue.put("pdq", 2, event(KEY, "trigger", "db2", description="é" * 1025))
    queue.put_bytes("err", f"3_{KEY}.txt", b"")
    queue.put_bytes("err", "notes", b"{}")
    done = run_import(agent, queue, "--json")
    assert done.returncode == 2
    summary = json.loads(done.stdout)
    assert (summary["waiting"], summary["failed"]) == (1, 0)
    reasons = {each["file"]: each["error"] for each in summary["refused"]}
    assert reasons.keys() == {
        "pdq/1700000001000000_v4g5…nvj9.txt",
        "err/3_v4g5…nvj9.txt",
        "err/notes",
    }
    assert "description" in reasons["pdq/1700000001000000_v4g5…nvj9.txt"]
    assert "pdq/1700000002000000_v4g5…nvj9.txt: description: " in done.stderr
    assert "3 files" in done.stderr.splitlines()[-1]
    assert len(queue.names("pdq")) == 1 and len(queue.names("err")) == 2
    sandbox.wait_for_events(1)


def test_an_incident_that_the_old_agent_has_opened_is_resolved_by_the_new_one(
    agent: AgentProcess, sandbox: SandboxProcess, queue: PythonAgentQueue
) -> None:
    queue.put("pdq", 1, event(KEY, "trigger", "event_source=host;host_name=db1"))
    assert run_import(agent, queue).returncode == 0
    sandbox.wait_for_events(1)
    incident = "event_source=host;host_name=db1"
    done = agent.cli("send", "-k", KEY, "-t", "resolve", "-i", incident)
    assert done.stdout == f"Event processed. Incident Key: {incident}\n"
    sandbox.wait_for(lambda: sandbox.alerts(status="resolved"), "the incident is resolved")


def test_an_old_resolve_does_not_close_what_a_new_trigger_has_opened(
    agent: AgentProcess, sandbox: SandboxProcess, queue: PythonAgentQueue
) -> None:
    new = ("send", "-k", KEY, "-t", "trigger", "-i", "db1", "-d", "down again")
    assert agent.cli(*new).returncode == 0
    queue.put("pdq", 1, event(KEY, "resolve", "db1"))
    queue.put("pdq", 2, event(KEY, "trigger", "db2"))
    assert run_import(agent, queue).returncode == 0
    sandbox.wait_for_events(2)
    opened = sandbox.alerts(status="open")
    assert [alert["dedup_key"] for alert in opened] == ["db1", "db2"]


def test_it_waits_for_no_agent_that_takes_events_out_of_the_directory(
    agent: AgentProcess, queue: PythonAgentQueue
) -> None:
    queue.put("pdq", 1, event(KEY))
    with (queue.directory / "dequeue.lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        done = run_import(agent, queue)
    assert done.returncode == 1
    assert "stop the Python agent" in done.stderr and len(queue.names("pdq")) == 1


def test_go_pdagents_database_is_refused_with_the_page_that_helps(
    agent: AgentProcess, tmp_path: Path
) -> None:
    database = tmp_path / "pdagent.db"
    database.write_bytes(bytes(8) + b"\4\0\0\0\0\0\0\0" + b"\xed\xda\x0c\xed\2\0\0\0" + bytes(8192))
    done = agent.cli("import", str(database))
    assert done.returncode == 2
    assert "pagerduty-agent help moving" in done.stderr and len(done.stderr.splitlines()) == 1
