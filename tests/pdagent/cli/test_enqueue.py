"""`enqueue` and `change`: every field of the Events API v2, and only what was given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.pdagent.cli.agent_stand_in import AgentStandIn, hang_up
from tests.pdagent.cli.command_line import CommandLine

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"
TRIGGER = ("enqueue", "-k", KEY, "-t", "trigger", "-d", "Disk full", "-u", "db1")


def test_every_field_arrives(user: CommandLine, agent: AgentStandIn) -> None:
    done = user(
        *("enqueue", "--routing-key", KEY, "--event-action", "trigger", "--dedup-key", "db1/disk"),
        *("--summary", "Disk full", "--source", "db1", "--severity", "critical"),
        *("--timestamp", "2026-08-01T12:00:00Z", "--component", "mysql", "--group", "www"),
        *("--class", "disk", "--field", "free=0", "--client", "Tool"),
        *("--client-url", "https://tool.example.com", "--link", "https://wiki.example.com=Wiki"),
        *("--link", "https://example.com/?id=5", "--image", "https://img.example.com/a.png"),
        *("--image", "https://img.example.com/b.png,https://example.com,A graph, drawn"),
    )
    assert (done.code, done.out) == (0, "Event processed. Dedup Key: db1/disk\n")
    assert agent.received[0].headers["pd-event-version"] == "v2"
    assert agent.received[0].body == {
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": "db1/disk",
        "payload": {
            "summary": "Disk full",
            "source": "db1",
            "severity": "critical",
            "timestamp": "2026-08-01T12:00:00Z",
            "component": "mysql",
            "group": "www",
            "class": "disk",
            "custom_details": {"free": "0"},
        },
        "images": [
            {"src": "https://img.example.com/a.png"},
            {
                "src": "https://img.example.com/b.png",
                "href": "https://example.com",
                "alt": "A graph, drawn",
            },
        ],
        "links": [
            {"href": "https://wiki.example.com", "text": "Wiki"},
            {"href": "https://example.com/?id=5"},
        ],
        "client": "Tool",
        "client_url": "https://tool.example.com",
    }


def test_the_severity_is_error_unless_told(user: CommandLine, agent: AgentStandIn) -> None:
    assert user(*TRIGGER).code == 0
    assert agent.received[0].body["payload"]["severity"] == "error"


def test_a_resolve_goes_without_a_payload_unless_one_was_given(
    user: CommandLine, agent: AgentStandIn
) -> None:
    assert user("enqueue", "-k", KEY, "-t", "resolve", "-y", "a").code == 0
    assert "payload" not in agent.received[0].body
    assert user("enqueue", "-k", KEY, "-t", "resolve", "-y", "a", "-d", "well").code == 0
    assert agent.received[1].body["payload"] == {"summary": "well", "severity": "error"}


@pytest.mark.parametrize(("option", "word"), [("-e", "fatal"), ("-t", "open")])
def test_a_wrong_choice_is_answered_with_the_right_ones(
    user: CommandLine, agent: AgentStandIn, option: str, word: str
) -> None:
    done = user(*TRIGGER, option, word)
    assert done.code == 2
    assert f"'{word}' is not one of" in done.error
    assert agent.received == []


def test_details_from_a_file_keep_their_exact_form(
    user: CommandLine, agent: AgentStandIn, tmp_path: Path
) -> None:
    file = tmp_path / "details.json"
    file.write_text('{"ratio": 1.10, "count": 123456789012345678901234567890, "a": {"b": [null]}}')
    assert user(*TRIGGER, "--details-json", str(file), "-f", "a=over").code == 0
    raw = agent.received[0].raw
    assert b'"ratio":1.10,' in raw
    assert b'"count":123456789012345678901234567890,' in raw
    assert agent.received[0].body["payload"]["custom_details"]["a"] == "over"


def test_details_come_from_standard_input_for_a_dash(
    user: CommandLine, agent: AgentStandIn
) -> None:
    for encoding in ("utf-8", "utf-8-sig"):  # with the mark that Windows puts before it as well
        details = '{"größe": 1}'.encode(encoding)
        assert user(*TRIGGER, "--details-json", "-", stdin=details).code == 0
        assert agent.received[-1].body["payload"]["custom_details"] == {"größe": 1}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"[1]", "standard input is a list, it takes a JSON object"),
        (b'{"a": ', "standard input is not JSON: expecting value (line 1, column 7)"),
        (b"", "standard input is empty, it takes a JSON object"),
        (b'{"a": ' + b"[" * 100_000, "standard input is nested deeper than 256 levels"),
        (b" " * 512_001, "standard input is larger than 512000 bytes"),
    ],
    ids=["list", "half", "empty", "deep", "huge"],
)
def test_details_that_are_no_json_object_are_a_usage_error(
    user: CommandLine, agent: AgentStandIn, content: bytes, problem: str
) -> None:
    done = user(*TRIGGER, "--details-json", "-", stdin=content)
    assert done.code == 2
    assert problem in done.error
    assert agent.received == []


def test_details_in_latin_1_are_read_with_a_warning(user: CommandLine, agent: AgentStandIn) -> None:
    done = user(*TRIGGER, "--details-json", "-", stdin='{"größe": 1}'.encode("latin-1"))
    assert done.code == 0
    assert "warning: standard input is not UTF-8, read as Latin-1" in done.err
    assert agent.received[-1].body["payload"]["custom_details"] == {"größe": 1}


def test_a_details_file_that_cannot_be_read_is_a_usage_error(user: CommandLine) -> None:
    done = user(*TRIGGER, "--details-json", "/no/such/file")
    assert done.code == 2
    assert "can't read /no/such/file: No such file or directory" in done.error


def test_a_change_event_arrives_as_written(user: CommandLine, agent: AgentStandIn) -> None:
    agent.tricks.append(hang_up)
    done = user(
        *("change", "-k", KEY, "-d", "Deployed 4.2", "-u", "ci", "-f", "commit=3f2a"),
        *("--timestamp", "2026-08-01T12:00:00Z", "--link", "https://ci.example.com/1=Build"),
    )
    assert (done.code, done.out, done.err) == (0, "Change event processed.\n", "")
    assert len({request.headers["idempotency-key"] for request in agent.received}) == 1
    assert agent.received[1].path == "/send"
    assert agent.received[1].headers["pd-event-version"] == "change"
    assert agent.received[1].body == {
        "routing_key": KEY,
        "payload": {
            "summary": "Deployed 4.2",
            "source": "ci",
            "timestamp": "2026-08-01T12:00:00Z",
            "custom_details": {"commit": "3f2a"},
        },
        "links": [{"href": "https://ci.example.com/1", "text": "Build"}],
    }


def test_a_change_without_its_summary_is_told_that_the_summary_is_missing(
    user: CommandLine, agent: AgentStandIn
) -> None:
    user("change", "-k", KEY, "-d", "")
    assert agent.received[0].body == {"routing_key": KEY, "payload": {}}


def test_pagerdutys_own_form_of_errors_is_understood(
    user: CommandLine, agent: AgentStandIn
) -> None:
    body = {"status": "invalid event", "message": "Event object is invalid", "errors": ["a", "b"]}
    agent.next_answers.append((400, {}, json.dumps(body).encode()))
    done = user("change", "-k", KEY, "-d", "x")
    assert done.code == 2
    assert "a; b" in done.error
