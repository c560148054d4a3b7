"""`--batch`: whole events from a file or standard input, with a real agent and a real PagerDuty."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent_process import AgentProcess
from tests.pdagent.cli.agent_stand_in import SECRET, AgentStandIn, hang_up
from tests.pdagent.cli.command_line import CommandLine
from tests.pdagent.httpapi.sample_events import change, new_key, trigger, v1_trigger
from tests.sandbox_process import SandboxProcess

LIMIT = 5


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess() as process:
        yield process


@pytest.fixture(scope="module")
def running_agent(
    tmp_path_factory: pytest.TempPathFactory, sandbox: SandboxProcess
) -> Iterator[AgentProcess]:
    directory = tmp_path_factory.mktemp("batch") / "agent"
    names = {"database": "v4g5q7yie1qee1yio2uimz8yfbjenvj9"}
    with AgentProcess(directory, sandbox.url, routing_keys=names) as process:
        yield process


@pytest.fixture
def real(running_agent: AgentProcess, sandbox: SandboxProcess) -> AgentProcess:
    running_agent.wait_until_drained()
    sandbox.reset()
    return running_agent


def written(tmp_path: Path, *events: object) -> str:
    lines = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
    file = tmp_path / "events.ndjson"
    file.write_bytes(b"".join(line + b"\n" for line in lines))
    return str(file)


def keyless(event: dict[str, Any]) -> dict[str, Any]:
    return {n: value for n, value in event.items() if n not in ("routing_key", "service_key")}


@pytest.mark.parametrize(
    ("command", "event", "kind", "said"),
    [
        ("send", v1_trigger(incident_key="db1"), "v1", "Event processed. Incident Key: db1"),
        ("enqueue", trigger(dedup_key="db1"), "v2", "Event processed. Dedup Key: db1"),
        ("change", change(), "change", "Change event processed."),
    ],
)
def test_events_of_a_file_are_stored_in_the_order_of_their_lines(
    real: AgentProcess,
    sandbox: SandboxProcess,
    tmp_path: Path,
    command: str,
    event: dict[str, Any],
    kind: str,
    said: str,
) -> None:
    events = [{**event, "number": number} for number in range(30)]
    done = real.cli(command, "--batch", written(tmp_path, *events))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [said] * 30
    arrived = sandbox.wait_for_events(30)
    assert [event["body"]["number"] for event in arrived] == list(range(30))
    assert {event["kind"] for event in arrived} == {kind}


def test_a_key_by_name_is_for_the_lines_without_one(
    real: AgentProcess, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    own = new_key()
    lines = [
        keyless(trigger()),
        trigger(own),
        b' {"event_action" : "trigger","payload":{}, "x":1.10}',
    ]
    for command, batch in (("enqueue", lines), ("send", [keyless(v1_trigger())])):
        real.cli(command, "-k", "@database", "--batch", written(tmp_path, *batch))
    keys = [event["routing_key"] for event in sandbox.wait_for_events(3)]
    assert sorted(keys) == sorted(["v4g5q7yie1qee1yio2uimz8yfbjenvj9"] * 2 + [own])


def test_lines_may_name_their_keys(
    real: AgentProcess, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    named = {"routing_key": "@database"}
    details = b'{"a": "@database", "number": 1.10}'
    body = b'{"routing_key": "@database", "event_action": "trigger", "payload": {"summary": "s",'
    body += b'"source": "s", "severity": "info", "custom_details": %b}}' % details
    file = written(tmp_path, body, trigger() | named, trigger() | {"routing_key": "@databse"})
    done = real.cli("enqueue", "--batch", file)
    assert (done.returncode, len(done.stdout.splitlines())) == (2, 2)
    first, last = done.stderr.splitlines()
    assert first.startswith("error: line 3: no key is named 'databse' in routing_keys")
    assert first.endswith("did you mean @database?")
    assert last == "error: 1 of 3 events is invalid: it was not stored"
    arrived = sandbox.wait_for_events(2)
    assert {event["routing_key"] for event in arrived} == {"v4g5q7yie1qee1yio2uimz8yfbjenvj9"}
    assert arrived[0]["body"]["payload"]["custom_details"]["a"] == "@database"
    v1 = written(tmp_path, v1_trigger() | {"service_key": "@database"})
    assert real.cli("send", "--batch", v1).returncode == 0


def test_a_bad_line_spoils_only_itself_and_is_named(
    real: AgentProcess, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    long = json.dumps(trigger(note="x" * 512_000)).encode()
    file = written(
        tmp_path,
        trigger(dedup_key="a"),
        b"",
        {"routing_key": "short"},
        long,
        b"{",
        trigger(dedup_key="b"),
    )
    done = real.cli("enqueue", "--batch", file)
    assert done.returncode == 2
    assert done.stdout.splitlines() == [f"Event processed. Dedup Key: {key}" for key in "ab"]
    errors = done.stderr.splitlines()
    assert errors[0].startswith("error: line 3: ")
    assert "; event_action: is missing, it takes one of " in errors[0]
    assert errors[1] == "error: line 4: is longer than 512000 bytes"
    assert errors[2].startswith("error: line 5: the body: is not JSON")
    assert errors[3:] == ["error: 3 of 5 events are invalid: they were not stored"]
    assert len(sandbox.wait_for_events(2)) == 2


def test_a_first_line_that_is_too_long_is_named_as_well(
    real: AgentProcess, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    long = json.dumps(trigger(note="x" * 512_000)).encode()
    done = real.cli("enqueue", "--batch", written(tmp_path, long, trigger(dedup_key="a")))
    assert (done.returncode, done.stdout) == (2, "Event processed. Dedup Key: a\n")
    assert done.stderr.splitlines() == [
        "error: line 1: is longer than 512000 bytes",
        "error: 1 of 2 events is invalid: it was not stored",
    ]


def test_json_prints_a_result_for_each_line(real: AgentProcess, tmp_path: Path) -> None:
    file = written(tmp_path, trigger(dedup_key="a"), {}, trigger(dedup_key="b"))
    done = real.cli("enqueue", "--batch", file, "--json")
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [result["line"] for result in results] == [1, 2, 3]
    assert [result.get("dedup_key") for result in results] == ["a", None, "b"]
    assert results[1]["status"] == 400


def test_lines_of_a_pipe_are_stored_as_they_come(
    real: AgentProcess, sandbox: SandboxProcess
) -> None:
    with subprocess.Popen(
        real.command("enqueue", "--batch", "-"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=real.environment() | {"PYTHONUNBUFFERED": "1"},
    ) as command:
        assert command.stdin is not None
        assert command.stdout is not None
        for key in ("first", "second"):
            command.stdin.write(json.dumps(trigger(dedup_key=key)).encode() + b"\n")
            command.stdin.flush()
            assert command.stdout.readline().decode() == f"Event processed. Dedup Key: {key}\n"
        command.stdin.write(json.dumps(trigger(dedup_key="last")).encode())
        rest, _ = command.communicate()
        assert rest.decode() == "Event processed. Dedup Key: last\n"
        assert command.returncode == 0


def test_a_large_file_goes_in_several_requests_and_keeps_its_order(
    real: AgentProcess, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    key, bulk = new_key(), "x" * 60_000
    events = [trigger(key, number=number, bulk=bulk) for number in range(200)]  # 12 MB
    done = real.cli("enqueue", "--batch", written(tmp_path, *events))
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 200)
    arrived = sandbox.wait_for_events(200, timeout=60)
    assert [event["body"]["number"] for event in arrived] == list(range(200))


def test_sent_again_with_the_same_idempotency_key_nothing_is_stored_twice(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    with AgentProcess(tmp_path / "agent", sandbox.url, max_queue_length=LIMIT) as agent:
        sandbox.reset()
        sandbox.behave(down=True)
        key = new_key()
        file = written(tmp_path, *(trigger(key, number=number) for number in range(LIMIT + 2)))
        done = agent.cli("enqueue", "--batch", file)
        assert (done.returncode, len(done.stdout.splitlines())) == (75, LIMIT)
        [line] = done.stderr.splitlines()
        assert "max_queue_length" in line
        refused = f"lines {LIMIT + 1} to {LIMIT + 2} and all after line {LIMIT + 2}"
        assert f"not stored: {refused}; send the same again with" in line
        again = line.partition("--idempotency-key '")[2].partition("'")[0]
        sandbox.behave(down=False)
        agent.wait_until_drained()
        done = agent.cli("enqueue", "--batch", file, "--idempotency-key", again)
        assert (done.returncode, len(done.stdout.splitlines())) == (0, LIMIT + 2)
        agent.wait_until_drained()
        numbers = [event["body"]["number"] for event in sandbox.events()]
        assert numbers == list(range(LIMIT + 2))


def test_an_idempotency_key_of_ones_own_works_for_a_single_event_too(
    real: AgentProcess, sandbox: SandboxProcess
) -> None:
    command = ("enqueue", "-k", new_key(), "-t", "trigger", "-d", "Disk full", "-u", "db1")
    first, second = (real.cli(*command, "--idempotency-key", "nightly") for _ in range(2))
    assert first.stdout == second.stdout
    real.wait_until_drained()
    assert len(sandbox.events()) == 1


def test_the_receipt_of_a_single_event_of_any_kind_has_its_id(real: AgentProcess) -> None:
    for command in (
        ("change", "-d", "Deployed 4.2"),
        ("send", "-t", "trigger", "-d", "Disk full"),
        ("enqueue", "-t", "trigger", "-d", "Disk full", "-u", "db1"),
    ):
        done = real.cli(*command, "-k", new_key(), "--json")
        assert (done.returncode, done.stderr) == (0, "")
        shown = real.cli("queue", "show", json.loads(done.stdout)["key"])
        assert shown.returncode == 0
        assert command[-1] in shown.stdout or "Disk full" in shown.stdout


def test_a_batch_waits_in_the_spool_while_the_agent_is_down(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    sandbox.reset()
    agent = AgentProcess(tmp_path / "agent", sandbox.url, spool=tmp_path / "spool")
    key = new_key()
    events = [trigger(key, number=number) for number in range(5)]
    done = agent.cli("enqueue", "--batch", written(tmp_path, *events[:2], {}, *events[2:]))
    assert done.returncode == 2
    assert len(done.stdout.splitlines()) == 5
    assert "error: line 3: " in done.stderr
    with agent:
        arrived = sandbox.wait_for_events(5)
    assert [event["body"]["number"] for event in arrived] == list(range(5))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("enqueue", "--batch", "/no/such/file"), "can't read /no/such/file: No such file"),
        (("enqueue", "--batch", "/"), "can't read /: Is a directory"),
        (("enqueue", "--batch", "-", "-d", "Disk full", "-t", "trigger"), "leave out -t, -d"),
        (("send", "--batch", "-", "-i", "a"), "leave out -i"),
        (("change", "--batch", "-", "--link", "https://a"), "leave out --link"),
        (("enqueue", "--batch", "-", "-k", "@nobody"), "'nobody'"),
        (("enqueue", "--batch", "-", "--idempotency-key", "ü"), "printable ASCII"),
        (("change", "-k", "a"), "--summary"),
        (("enqueue", "-k", "a"), "--event-action"),
        (("send", "-t", "trigger"), "--service-key"),
    ],
)
def test_wrong_usage_is_one_line(user: CommandLine, arguments: tuple[str, ...], said: str) -> None:
    done = user(*arguments)
    assert done.code == 2
    assert said in done.error


def test_without_an_agent_nothing_is_stored(cli: CommandLine, tmp_path: Path) -> None:
    cli.configure(address="127.0.0.1:9")
    done = cli("enqueue", "--batch", written(tmp_path, trigger()))
    assert done.code == 69
    assert "nothing was stored" in done.error


def test_a_connection_that_breaks_is_tried_again_with_the_same_keys(
    user: CommandLine, agent: AgentStandIn, tmp_path: Path
) -> None:
    agent.tricks += [hang_up] * 3
    done = user("enqueue", "--batch", written(tmp_path, trigger()))
    assert done.code == 1
    assert "note: not stored: perhaps line 1 and all after it; send the same again" in done.err
    assert "--idempotency-key" in done.err
    first, second, _ = agent.received
    for name in ("idempotency-key", "pd-first-line", "pd-event-version"):
        assert first.headers[name] == second.headers[name]


def test_receipts_that_nobody_reads_stop_no_event(
    real: AgentProcess, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    key = new_key()
    events = [trigger(key, bulk="x" * 60_000) for _ in range(150)]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        real.command("enqueue", "--batch", written(tmp_path, *events)),
        stdout=writer,
        stderr=subprocess.PIPE,
        env=real.environment() | {"PYTHONUNBUFFERED": "1"},
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert done.returncode == 0, done.stderr
    assert b"receipts can't be printed any more" in done.stderr
    assert len(sandbox.wait_for_events(150, timeout=60)) == 150


def test_the_secret_is_used(user: CommandLine, agent: AgentStandIn, tmp_path: Path) -> None:
    user("enqueue", "--batch", written(tmp_path, trigger()))
    assert agent.received[0].headers["authorization"] == f"token {SECRET}"
    assert agent.received[0].path == "/send/batch"


PRETTY = json.dumps(trigger(dedup_key="a"), indent=2).encode()


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (b'[{"a": 1}, {"b": 2}]', "JSON array, it takes one event per line: convert it with jq"),
        (b'\xef\xbb\xbf\n [\n{"a": 1}\n]\n', "JSON array, it takes one event per line"),
        (b"[" + b"1," * 400_000 + b"1]", "JSON array, it takes one event per line"),
        (PRETTY, "an event on several lines, it takes one event per line"),
        (PRETTY + b"\n", "an event on several lines, it takes one event per line"),
        (b'{"routing_key": "x",\r\n "b": 1}\r\n', "an event on several lines"),
    ],
    ids=["array", "array-lines", "large-array", "pretty", "pretty-lf", "two-lines"],
)
def test_what_is_not_one_event_per_line_is_refused_with_one_sentence(
    real: AgentProcess, tmp_path: Path, content: bytes, advice: str
) -> None:
    file = tmp_path / "events.json"
    file.write_bytes(content)
    before = real.totals()["accepted"]
    done = real.cli("enqueue", "--batch", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert advice in done.stderr
    assert len([line for line in done.stderr.splitlines() if advice[:10] in line]) == 1
    answer = real.post("/send/batch", data=content)
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert advice in error
    assert real.totals()["accepted"] == before


def test_lines_that_end_with_commas_are_taken(real: AgentProcess, tmp_path: Path) -> None:
    file = tmp_path / "commas.ndjson"
    events = [json.dumps(trigger(dedup_key=key)).encode() for key in "abc"]
    events[1] = events[1].replace(b"Disk", b"\\ud83d")
    file.write_bytes(b"%b,\n%b, \r\n%b,\n" % tuple(events))
    done = real.cli("enqueue", "--batch", str(file))
    assert done.returncode == 0
    assert done.stdout.splitlines() == [f"Event processed. Dedup Key: {key}" for key in "abc"]


def test_a_latin_1_line_gets_the_key_of_the_command(real: AgentProcess, tmp_path: Path) -> None:
    event = keyless(v1_trigger(description="Größe", incident_key="a"))
    file = tmp_path / "latin.ndjson"
    file.write_bytes(json.dumps(event, ensure_ascii=False).encode("latin-1"))
    done = real.cli("send", "--batch", str(file), "-k", new_key())
    assert done.returncode == 0
    assert "warning: line 1: the body: is not UTF-8, read as Latin-1" in done.stderr
