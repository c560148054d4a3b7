"""The command that sends an event anew: what it leaves out, it says."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from pdagent.cli.queue.resending import Resending
from pdagent.cli.session import Session

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"


@pytest.fixture
def session(tmp_path: Path) -> Session:
    config = tmp_path / "config.yaml"
    config.write_text(f"routing_keys:\n  database: {KEY}\n")
    config.chmod(0o600)
    return Session(str(config), {"address": "127.0.0.1:4000", "secret": "not-to-be-shown"})


def resending(
    session: Session, kind: str, queue: str = "database", **members: Any
) -> tuple[list[list[str]], list[str]]:
    """The words of each command, and what was left out."""
    built = Resending("0198-id", kind, json.dumps(members).encode(), queue, session)
    return [shlex.split(command) for command in built.commands], built.left_out


def test_the_command_has_the_global_options_of_this_one_but_no_secret(session: Session) -> None:
    [[words], _] = resending(session, "v1", event_type="resolve", incident_key="a b")
    options = ["--config", session.config_file, "--address", "127.0.0.1:4000"]
    event = ["-k", "@database", "-t", "resolve", "-i", "a b"]
    assert words == ["pagerduty-agent", *options, "send", *event]


def test_a_key_without_a_name_is_to_be_put_in(session: Session) -> None:
    [[words], _] = resending(session, "v2", queue="v4g5…nvj9", event_action="resolve")
    assert words[words.index("-k") + 1] == "ROUTING_KEY"


def test_what_no_option_can_express_is_named(session: Session) -> None:
    _, left_out = resending(
        session,
        "v2",
        event_action="trigger",
        vendor={"a": 1},
        client=7,
        links=[{"href": "https://a/?b=c", "text": "d=e"}, {"href": "https://a/b=c", "text": "d"}],
        images=[{"src": "https://a/1,2.png"}],
        payload={"summary": "s", "odd": "x", "custom_details": "just a text", "source": ""},
    )
    assert left_out == [
        "vendor",
        "client",
        "payload.odd",
        "payload.custom_details",
        "the link to https://a/b=c",
        "the image https://a/1,2.png",
    ]
    _, left_out = resending(session, "v1", event_type="trigger", details={"a": {"b": 1}})
    assert left_out == ["details"]
    _, left_out = resending(session, "v1", client="a\0b", details={"a": "b\0"})
    assert left_out == ["client", "details"]
    _, left_out = resending(session, "v1", contexts=[{"type": "link"}], agent={"queued_by": "x"})
    assert left_out == ["contexts"]


@pytest.mark.parametrize("details", [{"log": ["x" * 30] * 100}, {"log": "x" * 3000}])
def test_long_details_go_through_a_file(session: Session, details: dict[str, Any]) -> None:
    [first, second], left_out = resending(
        session, "v2", event_action="trigger", payload={"custom_details": details}
    )
    assert first[-7:] == ["0198-id", "--json", "|", "jq", *first[-3:]]
    assert first[-3:] == [".event.payload.custom_details", ">", "details.json"]
    assert second[-2:] == ["--details-json", "details.json"]
    assert left_out == []


def test_a_body_that_is_no_event_still_gives_a_command(session: Session) -> None:
    built = Resending("0198-id", "v2", b"[1e400]", "database", session)
    assert built.commands[0].endswith("enqueue -k @database")
