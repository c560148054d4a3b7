"""The sandbox judges by the agent's rules, without its repairs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdagent.sandbox.received import check
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


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        ("v1", v1_trigger(details={}, client=None, client_url=None, contexts=None)),
        ("v2", {**trigger(), "client": None, "images": None, "links": None}),
        ("v2", trigger(custom_details="text", source=30, component=5)),
        ("v2", {**trigger(), "dedup_key": 4711}),
    ],
)
def test_what_pagerduty_takes_is_accepted(kind: str, event: dict[str, Any]) -> None:
    assert errors_of(kind, event) == ()


def test_the_key_may_be_in_a_header() -> None:
    raw = json.dumps(without(trigger(), "routing_key")).encode()
    assert check("v2", raw, KEY).errors == ()
    assert check("v2", raw, KEY).routing_key == KEY


def test_all_problems_of_an_event_are_named_at_once() -> None:
    event = {"routing_key": "x", "event_action": "y", "payload": {"severity": "z"}}
    assert [error.split(":")[0] for error in errors_of("v2", event)] == [
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
    [b"", b"{", b"a=1", b'{"a":NaN}', b'{"a":"\xff"}', b'{"a":"\\ud800"}', b"[" * 100_000, b"1"],
)
def test_what_is_no_json_object_in_utf_8_is_refused(raw: bytes) -> None:
    checked = check("v2", raw)
    assert not checked.is_json
    assert any(error.startswith("the body: ") for error in checked.errors)


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
