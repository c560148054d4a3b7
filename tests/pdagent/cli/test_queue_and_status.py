"""`queue status`, `queue retry`, `status` and `health`."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.pdagent.cli.agent_stand_in import QUEUE, SECRET, STATUS, AgentStandIn
from tests.pdagent.cli.command_line import CommandLine

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"


def test_queue_status_prints_a_row_per_key(user: CommandLine) -> None:
    done = user("queue", "status")
    header, row = done.out.splitlines()
    assert header.split()[:5] == ["KEY", "WAITING", "OLDEST", "DELIVERED", "DEAD"]
    assert row.startswith("database")
    assert row.endswith("HTTP 503")


def test_queue_status_as_json_is_the_agents_answer(user: CommandLine) -> None:
    assert json.loads(user("queue", "status", "--json").out) == {"status_items": [QUEUE]}


def test_queue_retry_prints_how_many_events_are_retried(
    user: CommandLine, agent: AgentStandIn
) -> None:
    assert user("queue", "retry", "-k", KEY).out == "Retrying 2 events.\n"
    assert user("queue", "retry", "--all").out == "Retrying 2 events.\n"
    assert json.loads(user("queue", "retry", "-a", "--json").out)["count"] == 2
    assert [request.query for request in agent.received] == [{"rk": KEY}, {}, {}]


def test_queue_list_shows_an_event_once_that_was_delivered_between_two_pages(
    user: CommandLine, agent: AgentStandIn
) -> None:
    def page(next_: str | None, **states: str) -> None:
        events = [{"id": id_, "state": state, "queue": "database"} for id_, state in states.items()]
        body = json.dumps({"events": events, "next": next_}).encode()
        agent.next_answers.append((200, {}, body))

    for arguments in (["--json"], [], ["--limit", "3"]):
        page("1.1.2", a="queued", b="queued")
        page(None, b="delivered", c="delivered")
        done = user("queue", "list", "--state", "waiting,delivered", *arguments)
        assert done.code == 0
        lines = done.out.splitlines()[0 if "--json" in arguments else 1 :]
        ids = [json.loads(x)["id"] if x[0] == "{" else x.split()[0] for x in lines]
        assert ids == ["a", "b", "c"]


def test_status_shows_agent_pagerduty_totals_and_queues_as_plain_text(user: CommandLine) -> None:
    out = user("status").out
    assert "\x1b" not in out
    assert "127.0.0.1:49463" in out
    assert "unreachable for" in out
    assert "44 accepted, 40 delivered, 3 waiting, 1 dead-lettered, 0 discarded" in out
    assert "waits for PagerDuty" in out
    assert "3 events are kept; delivery resumes when PagerDuty is back.\n" in out
    assert "1 dead letter: pagerduty-agent queue list --state dead_lettered\n" in out


def test_status_as_json_is_the_agents_answer_with_what_this_version_does_not_know(
    user: CommandLine, agent: AgentStandIn
) -> None:
    agent.status = {**STATUS, "new": [1]}
    assert json.loads(user("status", "--json").out) == agent.status


def on_a_terminal(user: CommandLine, *arguments: str, **env: str) -> str:
    """What the command prints on a terminal of 80 columns."""
    leader, follower = pty.openpty()
    with os.fdopen(leader, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            user.command(*arguments),
            stdin=follower,
            stdout=follower,
            stderr=follower,
            env={**user.environment(), "TERM": "xterm-256color", "COLUMNS": "80", **env},
        )
        os.close(follower)
        shown = b""
        try:
            while chunk := screen.read(65536):
                shown += chunk
        except OSError:
            pass  # how Linux reports that the last writer has closed the terminal
        assert process.wait() == 0
    return shown.decode()


def test_status_on_a_terminal_is_coloured_unless_no_color_is_set(user: CommandLine) -> None:
    assert "\x1b[1;31munreachable" in on_a_terminal(user, "status")
    assert "\x1b[1;31m" not in on_a_terminal(user, "status", NO_COLOR="1")


def test_no_column_but_the_error_gives_way_on_a_terminal_of_80_columns(
    user: CommandLine, agent: AgentStandIn
) -> None:
    long = {**QUEUE, "last_error": "the name can't be resolved: Name or service not known " * 3}
    agent.status = {**STATUS, "queues": [long]}
    shown = on_a_terminal(user, "status", NO_COLOR="1")
    assert "database" in shown
    assert "waits for PagerDuty" in shown


def test_an_ascii_terminal_shows_the_table_too(user: CommandLine) -> None:
    user.env["PYTHONIOENCODING"] = "ascii"
    assert user("status").code == 0


def test_a_status_of_another_shape_is_one_error_line(
    user: CommandLine, agent: AgentStandIn
) -> None:
    agent.status = {"agent": {}, "pagerduty": {"since": "2026-08-01T12:00:00"}, "totals": {}}
    done = user("status")
    assert done.code == 1
    assert "isn't a status" in done.error


def test_text_from_outside_cannot_steer_the_terminal(
    user: CommandLine, agent: AgentStandIn
) -> None:
    nasty = "\x1b]0;title\x07\x1b[2J[red]bold\nrow"
    agent.status = {**STATUS, "queues": [{**QUEUE, "queue": nasty, "last_error": nasty}]}
    done = user("status")
    assert "\x1b" not in done.out
    assert "[red]bold row" in done.out
    agent.refuse_next(400, nasty)
    assert "\x1b" not in user("status").error


def test_health_is_ok_or_gives_the_reasons(user: CommandLine, agent: AgentStandIn) -> None:
    assert user("health").out == "OK\n"
    agent.refuse_next(503, "the journal is full", "an actor is gone")
    done = user("health")
    assert done.code == 1
    assert "is not ready: the journal is full; an actor is gone" in done.error
    ready = user("health", "--json")
    assert (ready.code, json.loads(ready.out)["ready"]) == (0, True)
    agent.refuse_next(503, "the journal is full")
    done = user("health", "--json")
    told = json.loads(done.out)
    assert (done.code, told["ready"], told["reasons"]) == (1, False, [done.error])


def test_ctrl_c_ends_a_command_with_130(user: CommandLine, agent: AgentStandIn) -> None:
    asked, done = threading.Event(), threading.Event()

    def hang(_: object) -> None:
        asked.set()
        done.wait()

    agent.tricks.append(hang)
    try:
        with subprocess.Popen(
            user.command("status"),
            env=user.environment(),
            cwd=user.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert asked.wait(20)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
    finally:
        done.set()
    assert (process.returncode, out, err.decode().split()) == (130, b"", ["error:", "interrupted"])


def test_nobody_listening_is_told_in_words_that_fit_what_was_asked(cli: CommandLine) -> None:
    cli.configure(address="127.0.0.1:1")
    for command, told in (("status", "there is nothing to show"), ("health", "nothing was asked")):
        done = cli("--config", str(cli.config), command)
        assert done.code == 69
        assert done.error.endswith(
            f": {told}; 'pagerduty-agent --config {cli.config} server' starts it"
        )


@pytest.mark.parametrize("arguments", [["health"], ["health", "--live"]])
def test_health_of_an_agent_that_hangs_is_known_within_seconds(
    user: CommandLine, agent: AgentStandIn, arguments: list[str]
) -> None:
    done = threading.Event()
    agent.tricks.append(lambda _: void(done.wait()))
    try:
        ended = user(*arguments)
    finally:
        done.set()
    assert ended.code == 69
    assert "gave no answer (none within 5 s): it hangs" in ended.error
    assert "health" not in ended.error


def void(_: object) -> None:
    """The outcome of a trick."""


def test_command_lines_that_are_printed_have_the_config_in_them(
    user: CommandLine, agent: AgentStandIn, home: Path
) -> None:
    config = str(user.config.rename(home / "other.yaml"))
    own = f"pagerduty-agent --config {config}"
    counts = {**STATUS["agent"], "queues": {"held": 1}}
    agent.status = {**STATUS, "agent": counts, "queues": [{**QUEUE, "held": True}]}
    out = user("--config", config, "status").out
    assert f"{own} queue list --state dead_lettered\n" in out
    assert f"{own} queue release -k KEY\n" in out
    agent.refuse_next(404, "none begins so: 'pagerduty-agent queue list' shows all")
    assert f"'{own} queue list'" in user("--config", config, "queue", "show", "0198").error
    refused = {"id": "0198", "error": "see 'pagerduty-agent queue show 0198'", "status": 409}
    answer = {"message": "", "count": 0, "events": [], "refused": [refused]}
    agent.next_answers.append((200, {}, json.dumps(answer).encode()))
    assert f"'{own} queue show 0198'" in user("--config", config, "queue", "retry", "0198").err
    written = str(home / "new.yaml")
    assert f"'pagerduty-agent --config {written} server'" in user("--config", written, "init").out


def test_an_agent_behind_tls_is_recognised_by_its_certificate_alone(
    cli: CommandLine, certificate: tuple[Path, Path], other_certificate: tuple[Path, Path]
) -> None:
    with AgentStandIn(*certificate) as agent:
        cli.configure(address=agent.address, secret=SECRET, tls_cert=str(certificate[0]))
        assert cli("status").code == 0
        cli.configure(address=agent.address, secret=SECRET, tls_cert=str(other_certificate[0]))
        done = cli("status")
        assert done.code == 69
        assert "can't be trusted: its certificate isn't the one in tls_cert" in done.error
        assert "starts it" not in done.error
    for wrong, problem in ((str(certificate[1]), "holds no certificate"), ("/no", "can't read")):
        cli.configure(tls_cert=wrong)
        done = cli("status")
        assert done.code == 69
        assert problem in done.error
        assert "no agent answers" not in done.error


def test_tls_on_one_side_only_is_called_by_its_name(
    cli: CommandLine, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    sending = ("send", "-k", KEY, "-t", "trigger", "-d", "Disk full")
    with AgentStandIn(*certificate) as behind_tls, AgentStandIn() as plain:
        for agent, setting, told in (
            (behind_tls, "", "speaks TLS: set tls_cert in the config"),
            (plain, f"tls_cert: {certificate[0]}\n", "does not speak TLS, as tls_cert in"),
        ):
            cli.configure(setting, address=agent.address, secret=SECRET)
            for command in (("status",), ("health",), ("queue", "tail"), sending):
                done = cli(*command)
                assert done.code == 69
                assert f"what listens at {agent.address} {told}" in done.error
                assert "starts it" not in done.error
            # The agent has not understood a word: with a spool the event is safe.
            spool = tmp_path / f"spool-{len(setting)}"
            cli.configure(f"{setting}spool: {spool}\n", address=agent.address, secret=SECRET)
            assert cli(*sending).code == 0
            assert len(list(spool.iterdir())) == 1


@pytest.mark.parametrize("command", [("queue", "list"), ("queue", "status"), ("status",)])
def test_json_on_a_terminal_steers_nothing_and_means_the_same(
    user: CommandLine, agent: AgentStandIn, command: Sequence[str]
) -> None:
    shown = "ü \u202e\x9b31m\u2066 \U000e0001"
    answer = {
        "events": [{"id": "1", "summary": shown}],
        "next": None,
        "status_items": [{"summary": shown}],
    }
    for _ in range(2):
        agent.next_answers.append((200, {}, json.dumps(answer, ensure_ascii=False).encode()))
    master, slave = pty.openpty()
    with os.fdopen(master, "rb", buffering=0) as terminal:
        arguments = [str(part) for part in user.command(*command, "--json")]
        done = subprocess.run(
            arguments, env=user.environment(), cwd=user.home, stdout=slave, check=False
        )
        assert done.returncode == 0
        text = terminal.read(1 << 16).decode()
        os.close(slave)
    assert text.strip().isprintable()
    assert "ü" in text
    piped = user(*command, "--json").out
    assert shown in piped, "programs get it as it is"
    assert json.loads(text) == json.loads(piped)


def test_a_list_on_a_terminal_shows_ends_of_ids_and_how_many_events_there_are(
    user: CommandLine, agent: AgentStandIn
) -> None:
    events = [
        {"id": f"0198f2c4-71a3-7000-8000-00000000000{n}", "state": "queued", "queue": "database"}
        for n in range(2)
    ]
    page = json.dumps({"events": events, "next": "here"}).encode()
    agent.next_answers.append((200, {}, page))
    shown = on_a_terminal(user, "queue", "list", "--limit", "2", NO_COLOR="1")
    lines = shown.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["000000000000", "000000000001"]
    waiting, dead = QUEUE["pending"], QUEUE["error"]
    assert f"these are 2 of {waiting + dead}: --limit 20 shows them" in shown
