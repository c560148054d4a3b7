"""Rules of alert events of Events API v2."""

from __future__ import annotations

import json

import pytest

from pdagent.events import parse as parse_body
from tests.pdagent.events.sample_events import (
    DOCUMENTED_ACKNOWLEDGE,
    DOCUMENTED_TRIGGER,
    KEY,
    V2_RESOLVE,
    V2_TRIGGER,
    Event,
    changed,
    errors_of,
    parse,
    raw,
    without,
)


@pytest.mark.parametrize(
    ("event", "action", "dedup_key"),
    [
        (V2_TRIGGER, "trigger", ""),
        (V2_RESOLVE, "resolve", "db1/disk"),
        (DOCUMENTED_TRIGGER, "trigger", "samplekeyhere"),
        (DOCUMENTED_ACKNOWLEDGE, "acknowledge", "samplekeyhere"),
    ],
)
def test_valid_events_are_taken_with_their_action_and_dedup_key(
    event: Event, action: str, dedup_key: str
) -> None:
    parsed = parse("v2", event)
    assert (parsed.kind, parsed.action, parsed.dedup_key) == ("v2", action, dedup_key)
    assert parsed.routing_key == event["routing_key"]
    assert parsed.warnings == ()


def test_the_body_is_the_event_with_a_blank_key_in_its_old_place() -> None:
    body = json.loads(parse("v2", DOCUMENTED_TRIGGER).body)
    assert body == {**DOCUMENTED_TRIGGER, "routing_key": ""}
    assert list(body) == list(DOCUMENTED_TRIGGER)


@pytest.mark.parametrize(
    ("path", "value", "error"),
    [
        ("routing_key", "abc", "routing_key: is not 32 letters and digits, it has 3 characters"),
        ("routing_key", "", "routing_key: is empty, it takes 32 letters and digits"),
        ("routing_key", KEY[:-1] + "-", "routing_key: is not 32 letters and digits"),
        ("routing_key", KEY[:-1] + "é", "routing_key: is not 32 letters and digits"),
        ("routing_key", KEY[:-1] + "٣", "routing_key: is not 32 letters and digits"),
        ("routing_key", KEY[:-1] + "\n", "routing_key: is not 32 letters and digits"),
        ("routing_key", 32, "routing_key: is a number, it takes 32 letters and digits"),
        ("routing_key", None, "routing_key: is missing, it takes 32 letters and digits"),
        (
            "event_action",
            "open",
            "event_action: 'open' is not one of trigger, acknowledge, resolve",
        ),
        (
            "event_action",
            "Trigger",
            "event_action: 'Trigger' is not one of trigger, acknowledge, resolve",
        ),
        (
            "event_action",
            True,
            "event_action: is true, it takes one of trigger, acknowledge, resolve",
        ),
        ("dedup_key", "x" * 256, "dedup_key: has 256 characters, it takes text of at most 255"),
        ("payload", [], "payload: is a list, it takes an object"),
        ("payload", None, "payload: is missing, it takes an object"),
        (
            "payload.summary",
            "",
            "payload.summary: is empty, it takes text of 1 to 1,024 characters",
        ),
        (
            "payload.summary",
            " \t\u2003",
            "payload.summary: is blank, it takes text of 1 to 1,024 characters",
        ),
        ("payload.source", " ", "payload.source: is blank, it takes text that is not empty"),
        ("payload.source", "", "payload.source: is empty, it takes text that is not empty"),
        (
            "payload.severity",
            "fatal",
            "payload.severity: 'fatal' is not one of critical, error, warning, info",
        ),
        (
            "payload.severity",
            "ERROR",
            "payload.severity: 'ERROR' is not one of critical, error, warning, info",
        ),
        (
            "payload.severity",
            3,
            "payload.severity: is a number, it takes one of critical, error, warning, info",
        ),
        ("payload.timestamp", 1785578400, "payload.timestamp: is a number, it takes an ISO 8601"),
        (
            "payload.timestamp",
            "yesterday",
            "payload.timestamp: 'yesterday' is not an ISO 8601 date and time",
        ),
        ("images", [{}], "images[0].src: is missing, it takes an address that begins with https"),
        ("links", [{"text": "x"}], "links[0].href: is missing, it takes text that is not empty"),
        ("links", [{"href": " "}], "links[0].href: is blank, it takes text that is not empty"),
        ("links", [{"href": ""}], "links[0].href: is empty, it takes text that is not empty"),
    ],
)
def test_each_broken_rule_is_named_alone(path: str, value: object, error: str) -> None:
    (only,) = errors_of("v2", changed(V2_TRIGGER, path, value))
    assert only.startswith(error)


def test_text_is_blank_if_it_is_white_space_whatever_the_dialect_of_the_pattern() -> None:
    """The OpenAPI document has the pattern as well, and means by it what ECMAScript does."""
    for number in (*range(0x3100), 0xFEFF):
        character = chr(number)
        event = changed(V2_TRIGGER, "payload.source", character)
        if character.strip():
            assert parse("v2", event).action == "trigger"
        else:
            assert "is blank" in errors_of("v2", event)[0]


@pytest.mark.parametrize(
    "path",
    ["routing_key", "event_action", "payload.summary", "payload.source", "payload.severity"],
)
def test_each_missing_required_field_is_named(path: str) -> None:
    (only,) = errors_of("v2", without(V2_TRIGGER, path))
    assert only.startswith(f"{path}: is missing, it takes ")


def test_all_problems_are_named_at_once() -> None:
    event = {
        "routing_key": "too short",
        "event_action": "trigger",
        "dedup_key": [5],
        "payload": {"summary": "", "severity": "fatal", "timestamp": 1785578400},
        "images": [{"src": " "}, 3],
        "links": [{}],
    }
    assert {error.partition(":")[0] for error in errors_of("v2", event)} == {
        "routing_key",
        "dedup_key",
        "payload.summary",
        "payload.source",
        "payload.severity",
        "payload.timestamp",
        "images[0].src",
        "links[0].href",
    }


def test_an_empty_object_lacks_all_that_a_trigger_needs() -> None:
    fields = [error.partition(":")[0] for error in errors_of("v2", {})]
    assert sorted(fields) == ["event_action", "payload", "routing_key"]


def test_a_wrong_action_does_not_hide_problems_of_the_payload() -> None:
    event = changed(changed(V2_TRIGGER, "event_action", "fire"), "payload.severity", "fatal")
    assert [error.partition(":")[0] for error in errors_of("v2", event)] == [
        "event_action",
        "payload.severity",
    ]


def test_a_mistyped_resolve_is_not_asked_for_a_payload() -> None:
    (only,) = errors_of("v2", changed(V2_RESOLVE, "event_action", "resolved"))
    assert only.startswith("event_action: 'resolved' is not one of")


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
def test_acknowledge_and_resolve_need_a_dedup_key(action: str) -> None:
    event = changed(V2_RESOLVE, "event_action", action)
    takes = "it takes text of 1 to 255 characters"
    assert errors_of("v2", without(event, "dedup_key")) == (f"dedup_key: is missing, {takes}",)
    assert errors_of("v2", changed(event, "dedup_key", None)) == (
        f"dedup_key: is missing, {takes}",
    )
    assert errors_of("v2", changed(event, "dedup_key", "")) == (f"dedup_key: is empty, {takes}",)


def test_a_dedup_key_of_255_characters_is_taken_whatever_its_bytes() -> None:
    assert parse("v2", {**V2_TRIGGER, "dedup_key": "ü" * 255}).dedup_key == "ü" * 255


def test_null_means_not_given_in_optional_fields() -> None:
    event = {
        **V2_TRIGGER,
        "dedup_key": None,
        "images": None,
        "links": None,
        "client": None,
        "payload": {**V2_TRIGGER["payload"], "custom_details": None, "class": None},
    }
    parsed = parse("v2", event)
    assert parsed.dedup_key == ""
    assert json.loads(parsed.body) == {**event, "routing_key": ""}


@pytest.mark.parametrize("scheme", ["https://", "HTTPS://", "Https://"])
def test_the_scheme_of_an_image_may_be_in_capitals(scheme: str) -> None:
    assert parse("v2", {**V2_TRIGGER, "images": [{"src": f"{scheme}example.com/a.png"}]})


def test_what_alertmanager_sends_is_taken() -> None:
    body = (
        b'{"routing_key":"' + KEY.encode() + b'","dedup_key":"3f1c2b6d8e90","event_action":'
        b'"resolve","payload":{"summary":"[RESOLVED] Down","source":"Alertmanager",'
        b'"severity":"error","custom_details":{"num_firing":"0","resolved":"Labels:\\n"}},'
        b'"client":"Alertmanager","client_url":"http://host:9093","links":[{"href":"http://x",'
        b'"text":""}],"images":[{"src":"https://x","alt":"","href":""}]}\n'
    )
    assert parse_body("v2", body).action == "resolve"


def test_of_members_with_the_same_name_the_last_one_counts() -> None:
    twice = raw(V2_RESOLVE)[:-1] + b', "event_action": "acknowledge"}'
    parsed = parse_body("v2", twice)
    assert parsed.action == "acknowledge"
    assert parsed.body.count(b"event_action") == 1


def test_members_of_the_same_name_pass_in_free_form_objects() -> None:
    details = b'{"a": 1, "a": 2}'
    body = raw(changed(V2_TRIGGER, "payload.custom_details", {})).replace(b"{}", details)
    assert details in parse_body("v2", body).body


def test_needlessly_escaped_names_are_the_names_that_they_mean() -> None:
    body = raw(V2_TRIGGER).replace(b'"payload"', b'"p\\u0061yload"')
    assert list(json.loads(parse_body("v2", body).body)) == list(V2_TRIGGER)
