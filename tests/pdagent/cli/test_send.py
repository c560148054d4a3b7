"""`send`, and what all event commands share: retries, exit codes, receipts."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import uuid
from pathlib import Path

import pytest

from tests.pdagent.cli.agent_stand_in import (
    AgentStandIn,
    hang_up,
    speak_otherwise,
    stop_in_the_middle,
)
from tests.pdagent.cli.command_line import CommandLine
from tests.sandbox_process import SandboxProcess

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"
TRIGGER = ("send", "-k", KEY, "-t", "trigger", "-d", "Disk full")


def test_the_original_agents_example_arrives_as_written(
    user: CommandLine, agent: AgentStandIn
) -> None:
    done = user(
        *("send", "-k", KEY, "-t", "trigger", "-d", "This is a test event", "-c", "PagerDuty Test"),
        *("-u", "http://pagerduty.com", "-f", "some_field=some_value"),
    )
    assert (done.code, done.err) == (0, "")
    assert done.out == "Event processed. Incident Key: made-up\n"
    assert agent.received[0].path == "/send"
    assert agent.received[0].headers["pd-event-version"] == "v1"
    assert agent.received[0].body == {
        "service_key": KEY,
        "event_type": "trigger",
        "description": "This is a test event",
        "details": {"some_field": "some_value"},
        "client": "PagerDuty Test",
        "client_url": "http://pagerduty.com",
    }


def test_the_long_names_of_both_old_agents_work(user: CommandLine, agent: AgentStandIn) -> None:
    for key_option in ("--service-key", "--routing-key"):
        done = user(
            *("send", key_option, KEY, "--event-type", "resolve"),
            *("--incident-key", "disk/db1", "--description", "all well"),
        )
        assert done.out == "Event processed. Incident Key: disk/db1\n"
    assert {request.body["service_key"] for request in agent.received} == {KEY}


def test_a_field_is_split_at_its_first_equals_sign(user: CommandLine, agent: AgentStandIn) -> None:
    assert user(*TRIGGER, "-f", "query=a=b", "-f", "empty=", "-f", "query=c=d").code == 0
    assert agent.received[0].body["details"] == {"query": "c=d", "empty": ""}


@pytest.mark.parametrize("wrong", ["no-equals", "=value"])
def test_a_field_that_is_no_field_is_a_usage_error(
    user: CommandLine, agent: AgentStandIn, wrong: str
) -> None:
    done = user(*TRIGGER, "-f", wrong)
    assert done.code == 2
    assert f"'{wrong}' is not of the form KEY=VALUE" in done.error
    assert agent.received == []


def test_empty_options_count_as_not_given(user: CommandLine, agent: AgentStandIn) -> None:
    assert user(*TRIGGER, "-i", "", "-c", "").code == 0
    assert agent.received[0].body.keys() == {"service_key", "event_type", "description"}


def test_text_that_is_not_utf_8_still_becomes_an_alert(
    user: CommandLine, agent: AgentStandIn
) -> None:
    done = user("send", "-k", KEY, "-t", "trigger", "-d", b"Gr\xf6\xdfe \xc3\xa4")
    assert done.code == 0
    assert done.err.startswith("warning: a text isn't UTF-8")
    assert agent.received[0].body["description"] == "Gr\ufffd\ufffde ä"


def test_utf_8_needs_no_repair_where_the_locale_knows_ascii_only(
    user: CommandLine, agent: AgentStandIn
) -> None:
    user.env |= {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = user("send", "-k", KEY, "-t", "trigger", "-d", "Größe")
    assert (done.code, done.err) == (0, "")
    assert agent.received[0].body["description"] == "Größe"
    assert "'Größe' is not of the form" in user("send", "-f", "Größe").error


def test_a_key_can_be_given_by_its_name(user: CommandLine, agent: AgentStandIn) -> None:
    user.configure(f"routing_keys:\n  database: {KEY}\n", address=agent.address, secret="x")
    user.env["PAGERDUTY_AGENT_SECRET"] = "correct-horse-battery"
    assert user("send", "-k", "@database", "-t", "trigger", "-d", "x").code == 0
    assert agent.received[0].body["service_key"] == KEY
    done = user("send", "-k", "@databse", "-t", "trigger", "-d", "x")
    assert done.code == 2
    assert "no key is named 'databse'" in done.error
    assert "did you mean @database?" in done.error
    assert KEY not in done.err


def test_each_event_carries_an_idempotency_key_of_its_own(
    user: CommandLine, agent: AgentStandIn
) -> None:
    user(*TRIGGER)
    user(*TRIGGER)
    keys = {request.headers["idempotency-key"] for request in agent.received}
    assert len(keys) == 2
    assert all(uuid.UUID(key).version == 4 for key in keys)


@pytest.mark.parametrize("trick", [hang_up, stop_in_the_middle])
def test_a_broken_connection_is_tried_again_under_the_same_idempotency_key(
    user: CommandLine, agent: AgentStandIn, trick: object
) -> None:
    agent.tricks.append(trick)  # type: ignore[arg-type]
    done = user(*TRIGGER)
    assert (done.code, done.err) == (0, "")
    assert len(agent.received) == 2
    assert len({request.headers["idempotency-key"] for request in agent.received}) == 1


def test_an_event_that_may_have_been_stored_is_not_called_refused_by_what_follows(
    user: CommandLine, agent: AgentStandIn
) -> None:
    uncertain = {"errors": ["may have been stored"], "may_have_been_stored": True}
    agent.next_answers.append((503, {}, json.dumps(uncertain).encode()))
    for _ in range(2):
        agent.refuse_next(503, "the disk fails")
    done = user(*TRIGGER)
    assert done.code == 1
    assert "it isn't known whether the event is stored" in done.error
    assert "(may have been stored, then the disk fails)" in done.error
    assert len({request.headers["idempotency-key"] for request in agent.received}) == 1


def test_a_connection_that_breaks_each_time_leaves_the_outcome_open(
    user: CommandLine, agent: AgentStandIn
) -> None:
    agent.tricks.extend([hang_up] * 3)
    done = user(*TRIGGER)
    assert done.code == 1
    assert "it isn't known whether the event is stored" in done.error
    first, second, third = agent.received
    key = first.headers["idempotency-key"]
    assert key == second.headers["idempotency-key"] == third.headers["idempotency-key"]
    assert f"send the same again with --idempotency-key '{key}'" in done.error


def test_without_an_agent_nothing_is_stored_and_the_line_says_how_to_start_it(
    cli: CommandLine,
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        done = cli("-a", f"127.0.0.1:{unused.getsockname()[1]}", *TRIGGER)
    assert done.code == 69
    assert "connection refused" in done.error
    assert "nothing was stored; 'pagerduty-agent --address 127.0.0.1:" in done.error
    assert done.error.endswith(" server' starts it")


@pytest.mark.parametrize(("status", "why"), [(429, "queue full"), (503, "journal full")])
def test_a_refusal_for_now_ends_with_75(
    user: CommandLine, agent: AgentStandIn, status: int, why: str
) -> None:
    agent.refuse_next(status, why, Retry_After="7")
    done = user(*TRIGGER)
    assert done.code == 75
    assert why in done.error
    assert "try again in 7 s" in done.error


def test_an_invalid_event_ends_with_2_and_every_problem_in_one_line(
    user: CommandLine, agent: AgentStandIn
) -> None:
    agent.refuse_next(400, "description is missing", "service_key isn't\n32 letters and digits")
    done = user("send", "-k", "short", "-t", "trigger")
    assert done.code == 2
    assert "description is missing; service_key isn't 32 letters and digits" in done.error


def test_what_is_wrong_is_told_with_the_names_of_the_options(
    user: CommandLine, agent: AgentStandIn
) -> None:
    problems = ("service_key: is short", "description: is missing", "agent.host: is wrong")
    agent.refuse_next(400, *problems, "details: are too large")
    done = user("send", "-k", "short", "-t", "trigger", "-f", "a=b")
    assert done.code == 2
    told = "-k: is short; -d: is missing; agent.host: is wrong; -f: are too large"
    assert done.error == f"the agent refused this: {told}"
    agent.refuse_next(400, "payload.summary: is missing", "links[3].href: is empty")
    done = user("enqueue", "-k", KEY, "-t", "trigger", "--link", "x")
    assert done.error == "the agent refused this: -d: is missing; --link: is empty"


def test_a_wrong_secret_is_traced_to_where_it_was_set(
    user: CommandLine, agent: AgentStandIn
) -> None:
    user.configure(address=agent.address, secret="out-of-date")
    assert f"the secret from {user.config}, line 2:" in user(*TRIGGER).error
    user.env["PAGERDUTY_AGENT_SECRET"] = "also-wrong"
    assert "the secret from environment PAGERDUTY_AGENT_SECRET:" in user(*TRIGGER).error
    done = user("-s", "flagged", *TRIGGER)
    assert done.code == 1
    assert "the secret from --secret:" in done.error
    assert not re.search("out-of-date|also-wrong|flagged", done.err)


def test_a_missing_secret_is_said_to_be_missing(user: CommandLine, agent: AgentStandIn) -> None:
    user.configure(address=agent.address)
    done = user(*TRIGGER)
    assert done.code == 1
    assert "requires a secret and none is set" in done.error
    assert str(user.config) in done.error


def test_something_else_on_the_port_is_not_taken_for_the_agent(
    user: CommandLine, agent: AgentStandIn
) -> None:
    agent.tricks.append(speak_otherwise)
    assert "is not a pagerduty-agent (it doesn't speak HTTP)" in user(*TRIGGER).error
    for answer in (b"<html>", b"[]", b'{"key": 1}', b'"\xff"', b"[" * 50_000):
        agent.next_answers.append((200, {}, answer))
        done = user(*TRIGGER)
        assert done.code == 1
        assert "its answer isn't the JSON expected" in done.error
    agent.next_answers.append((302, {"Location": "/elsewhere"}, b""))
    assert "it answered HTTP 302" in user(*TRIGGER).error


def test_the_sandbox_is_not_taken_for_the_agent(user: CommandLine) -> None:
    with SandboxProcess() as sandbox:
        address = sandbox.url.removeprefix("http://")
        for command in (("status",), ("queue", "hold", "-k", KEY), ("queue", "show", "1"), TRIGGER):
            done = user("-a", address, *command)
            assert done.code == 1
            assert f"what listens at {address} is not a pagerduty-agent" in done.error


def test_warnings_of_the_receipt_go_to_standard_error(
    user: CommandLine, agent: AgentStandIn
) -> None:
    receipt = {"key": "ev1", "incident_key": "k", "warnings": ["description was shortened"]}
    agent.next_answers.append((200, {}, json.dumps(receipt).encode()))
    agent.next_answers.append((200, {}, json.dumps(receipt).encode()))
    done = user(*TRIGGER)
    assert done.out == "Event processed. Incident Key: k\n"
    assert done.err == "warning: description was shortened\n"
    assert json.loads(user(*TRIGGER, "--json").out) == receipt


def test_an_event_that_is_stored_counts_as_done_even_if_its_receipt_cannot_be_printed(
    user: CommandLine, agent: AgentStandIn
) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            user.command(*TRIGGER),
            stdout=full,
            stderr=subprocess.PIPE,
            env=user.environment(),
            check=False,
        )
    assert done.returncode == 0
    assert done.stderr.startswith(b"warning: the event is stored, its receipt could not be printed")
    assert done.stderr.count(b"\n") == 1
    assert len(agent.received) == 1


def test_the_routing_key_never_shows(user: CommandLine, agent: AgentStandIn) -> None:
    for arguments in (("-a", "127.0.0.1:1", *TRIGGER), (*TRIGGER, KEY), (*TRIGGER, f"--{KEY}")):
        done = user(*arguments)
        assert done.code != 0
        assert KEY not in done.out + done.err
