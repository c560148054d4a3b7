"""The sandbox judges by the agent's rules, without its repairs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pdagent.sandbox.received import check
from tests.pdagent.events.sample_events import (
    DOCUMENTED_CHANGE,
    DOCUMENTED_TRIGGER,
    DOCUMENTED_V1_TRIGGER,
)
from tests.pdagent.sandbox.sample_events import KEY, action, trigger, v1_trigger


def errors_of(kind: Any, event: Any) -> tuple[str, ...]:
    return check(kind, json.dumps(event).encode()).errors


def without(event: dict[str, Any], name: str) -> dict[str, Any]:
    return {field: value for field, value in event.items() if field != name}


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        ("v2", trigger()),
        ("v2", {**trigger(custom_details="text", source=30), "images": None, "unknown": 1}),
        ("v2", DOCUMENTED_TRIGGER),
        ("v2", action("acknowledge", "d")),
        ("v1", DOCUMENTED_V1_TRIGGER),
        ("v1", {"service_key": KEY, "event_type": "resolve", "incident_key": "k"}),
        ("change", DOCUMENTED_CHANGE),
    ],
)
def test_an_event_as_documented_is_valid(kind: str, event: dict[str, Any]) -> None:
    assert errors_of(kind, event) == ()


@pytest.mark.parametrize(
    ("kind", "event", "problem"),
    [
        ("v2", {**trigger(), "event_action": "open"}, "event_action: 'open' is not one of"),
        ("v2", trigger(severity="fatal"), "payload.severity: 'fatal' is not one of critical,"),
        ("v2", trigger(key="short"), "routing_key: is not 32 letters and digits"),
        ("v2", {**trigger(), "images": [{"alt": "a"}]}, "images[0].src: is missing"),
        ("v1", v1_trigger(description=""), "description: is empty"),
        ("change", {"routing_key": "R" + KEY[1:], "payload": {"summary": "s"}}, "routing_key: "),
        # What the agent repairs is to arrive repaired.
        ("v2", trigger(summary="x" * 1025), "payload.summary: shortened"),
        ("v2", trigger(key=f"{KEY} "), "routing_key: white space around it"),
        ("v2", {**trigger(), "images": [{"src": "http://a"}]}, "images: left out an image"),
        ("v2", {**action("resolve", "d"), "payload": {"summary": ""}}, "payload: left out"),
        ("v1", v1_trigger(contexts=[]), "contexts: left out"),
    ],
)
def test_what_the_agent_refuses_or_repairs_is_refused(
    kind: str, event: dict[str, Any], problem: str
) -> None:
    (only,) = errors_of(kind, event)
    assert only.startswith(problem)


def test_the_key_may_be_in_a_header() -> None:
    raw = json.dumps(without(trigger(), "routing_key")).encode()
    assert check("v2", raw, KEY).errors == ()
    assert check("v2", raw, KEY).routing_key == KEY


def test_no_error_and_no_repr_shows_the_key() -> None:
    checked = check("v2", json.dumps(trigger(key=KEY + "0")).encode())
    assert KEY[:8] not in repr(checked) + "".join(checked.errors)


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"a=1", b'{"a":NaN}', b'{"a":"\xff"}', b'{"a":"\\ud800"}', b"[" * 100_000, b"1"],
)
def test_what_is_no_json_object_in_utf_8_is_refused(raw: bytes) -> None:
    checked = check("v2", raw)
    assert not checked.is_json
    assert any(error.startswith("the body: ") for error in checked.errors)
