"""The sandbox's own reading of PagerDuty's documentation."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdagent.sandbox import validation
from pdagent.sandbox.validation import check
from tests.pdagent.sandbox.sample_events import KEY, action, trigger, v1_trigger


def errors_of(kind: Any, event: Any) -> tuple[str, ...]:
    return check(kind, json.dumps(event).encode()).errors


def without(event: dict[str, Any], name: str) -> dict[str, Any]:
    return {field: value for field, value in event.items() if field != name}


FULL_V2 = {
    **trigger(
        dedup_key="d" * 255,
        summary="ä" * 1024,
        timestamp="2026-08-01T12:00:00.123Z",
        component="disk",
        group="prod",
        **{"class": "full"},
        custom_details={"free": "1%", "nested": {"list": [1, 2, None]}},
    ),
    "images": [{"src": "https://example.com/a.png", "href": "", "alt": ""}],
    "links": [{"href": "https://example.com", "text": ""}],
    "client": "tests",
    "client_url": "https://example.com",
    "a_field_nobody_knows": 1,
}
FULL_V1 = v1_trigger(
    incident_key="k",
    details={"some_field": "some_value"},
    client="PagerDuty Test",
    client_url="http://pagerduty.com",
    contexts=[
        {"type": "link", "href": "http://pagerduty.com", "text": "t"},
        {"type": "image", "src": "https://example.com/a.png"},
    ],
    agent={"queued_by": "pagerduty-agent", "queued_at": "2026-08-01T12:00:00Z", "agent_id": "a"},
)


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        ("v2", trigger()),
        ("v2", FULL_V2),
        ("v2", action("acknowledge", "d")),
        ("v2", {**action("resolve", "d"), "payload": {"summary": ""}}),
        ("v1", v1_trigger()),
        ("v1", FULL_V1),
        ("v1", {"service_key": KEY, "event_type": "resolve", "incident_key": "k"}),
        ("change", {"routing_key": KEY, "payload": {"summary": "deployed"}}),
        (
            "change",
            {
                "routing_key": KEY,
                "payload": {
                    "summary": "s",
                    "source": "ci",
                    "timestamp": "2015-07-17T08:42:58.315+0000",
                    "custom_details": {},
                },
                "links": [{"href": "https://example.com"}],
            },
        ),
    ],
)
def test_an_event_as_documented_is_valid(kind: str, event: dict[str, Any]) -> None:
    assert errors_of(kind, event) == ()


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        (without(trigger(), "routing_key"), "'routing_key' is missing or blank"),
        (trigger(key="short"), "'routing_key' is not a key of 32 letters and digits"),
        (trigger(key="é" * 32), "'routing_key' is not a key of 32 letters and digits"),
        ({**trigger(), "routing_key": 5}, "'routing_key' is not a string"),
        ({**trigger(), "event_action": "open"}, "'event_action' is none of trigger,"),
        (without(trigger(), "event_action"), "'event_action' is missing"),
        (without(trigger(), "payload"), "'payload' is missing"),
        ({**trigger(), "payload": []}, "'payload' is not an object"),
        (trigger(summary=""), "'payload.summary' is missing or blank"),
        (trigger(summary=" \t"), "'payload.summary' is missing or blank"),
        (trigger(summary="x" * 1025), "'payload.summary' is longer than 1024 characters"),
        (trigger(source=""), "'payload.source' is missing"),
        (trigger(severity="fatal"), "'payload.severity' is none of critical, error,"),
        (trigger(severity="Error"), "'payload.severity' is none of"),
        (trigger(timestamp="yesterday"), "'payload.timestamp' is not an ISO 8601 time"),
        (trigger(timestamp="2026-08-01 12:00:00"), "'payload.timestamp' is not an ISO 8601"),
        (trigger(timestamp=1795475295), "'payload.timestamp' is not a string"),
        (trigger(component=None), "'payload.component' is not a string"),
        (trigger(custom_details="text"), "'payload.custom_details' is not an object"),
        (trigger(dedup_key="d" * 256), "'dedup_key' is longer than 255"),
        (without(action("acknowledge", "d"), "dedup_key"), "'dedup_key' is missing"),
        (action("resolve", ""), "'dedup_key' is missing or blank"),
        ({**trigger(), "images": [{"src": "http://a"}]}, "'images[0].src' doesn't begin with"),
        ({**trigger(), "images": [{"alt": "a"}]}, "'images[0].src' is missing"),
        ({**trigger(), "links": [{"href": "a"}, {}]}, "'links[1].href' is missing"),
        ({**trigger(), "links": {}}, "'links' is not a list of objects"),
        ({**trigger(), "client": {}}, "'client' is not a string"),
    ],
)
def test_a_v2_event_that_is_not_as_documented_is_refused(
    event: dict[str, Any], problem: str
) -> None:
    errors = errors_of("v2", event)
    assert len(errors) == 1
    assert errors[0].startswith(problem)


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        (without(v1_trigger(), "service_key"), "'service_key' is missing"),
        (v1_trigger(service_key=KEY + "x"), "'service_key' is not a key of 32"),
        (v1_trigger(event_type="ack"), "'event_type' is none of trigger"),
        (without(v1_trigger(), "description"), "'description' is missing"),
        (v1_trigger(description="x" * 1025), "'description' is longer than 1024"),
        (v1_trigger(incident_key="k" * 256), "'incident_key' is longer than 255"),
        ({"service_key": KEY, "event_type": "acknowledge"}, "'incident_key' is missing"),
        (v1_trigger(details="x"), "'details' is not an object"),
        (v1_trigger(contexts=[{"type": "video"}]), "'contexts[0].type' is none of link, image"),
        (v1_trigger(contexts=[{"type": "link"}]), "'contexts[0].href' is missing"),
        (v1_trigger(agent={"queued_at": "2026-08-01T12:00:00+02:00"}), "'agent.queued_at' is not"),
        (v1_trigger(agent={"queued_at": "2026-08-01T12:00:00"}), "'agent.queued_at' is not"),
    ],
)
def test_a_v1_event_that_is_not_as_documented_is_refused(
    event: dict[str, Any], problem: str
) -> None:
    errors = errors_of("v1", event)
    assert len(errors) == 1
    assert errors[0].startswith(problem)


def test_a_change_event_through_the_key_of_a_global_ruleset_is_refused() -> None:
    key = "R" + KEY[1:]
    errors = errors_of("change", {"routing_key": key, "payload": {"summary": "s"}})
    assert errors == ("'routing_key' belongs to a global ruleset, which takes no change events",)


def test_all_problems_of_an_event_are_named_at_once() -> None:
    event = {"routing_key": "x", "event_action": "y", "payload": {"severity": "z"}}
    assert [error.split("'")[1] for error in errors_of("v2", event)] == [
        "routing_key",
        "event_action",
        "payload.summary",
        "payload.source",
        "payload.severity",
    ]


def test_no_error_and_no_repr_shows_the_key() -> None:
    checked = check("v2", json.dumps(trigger(key=KEY + "0")).encode())
    assert KEY[:8] not in repr(checked) + "".join(checked.errors)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"routing_key=1",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":"\xff"}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":"\\ud800"}',
        b"[" * 100_000,
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":1} {"b":2}',
    ],
)
def test_what_is_not_json_is_refused(raw: bytes) -> None:
    checked = check("v2", raw)
    assert not checked.is_json
    assert checked.errors == ("The body is not valid JSON in UTF-8",)


@pytest.mark.parametrize("raw", [b"[]", b"null", b'"text"', b"1"])
def test_json_that_is_no_object_is_refused(raw: bytes) -> None:
    assert check("v1", raw).errors == ("The body is not a JSON object",)


def test_a_field_that_occurs_twice_is_refused() -> None:
    raw = json.dumps(trigger()).encode()
    twice = b'{"routing_key":"",' + raw[1:]
    assert check("v2", twice).errors == ("'routing_key' occurs twice in one object",)


def test_paired_surrogates_are_a_character() -> None:
    assert errors_of("v2", trigger(summary="\N{PILE OF POO}")) == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
FIELDS = sorted({*FULL_V1, *FULL_V2, "type", "src", "href", "summary", "timestamp", "queued_at"})


@given(
    kind=st.sampled_from(["v1", "v2", "change"]),
    event=st.dictionaries(st.sampled_from(FIELDS), JSON)
    | st.dictionaries(
        st.sampled_from(["payload", "agent", "contexts", "images"]),
        st.dictionaries(st.sampled_from(FIELDS), JSON)
        | st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON), max_size=2),
    ),
)
def test_whatever_json_comes_is_judged_without_an_accident(kind: Any, event: Any) -> None:
    assert errors_of(kind, event)


@given(kind=st.sampled_from(["v1", "v2", "change"]), raw=st.binary())
def test_whatever_bytes_come_are_judged_without_an_accident(kind: Any, raw: bytes) -> None:
    assert check(kind, raw).errors


def test_the_judgement_shares_nothing_with_the_agent() -> None:
    tree = ast.parse(Path(validation.__file__).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {
        name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    }
    assert {str(module).split(".")[0] for module in imported} <= set(sys.stdlib_module_names)
