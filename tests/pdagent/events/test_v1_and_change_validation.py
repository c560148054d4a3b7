"""Rules of Events API v1 and of change events."""

from __future__ import annotations

import json

import pytest

from tests.pdagent.events.sample_events import (
    CHANGE,
    DOCUMENTED_CHANGE,
    DOCUMENTED_V1_TRIGGER,
    KEY,
    V1_RESOLVE,
    V1_TRIGGER,
    Event,
    changed,
    errors_of,
    parse,
    without,
)


@pytest.mark.parametrize(
    ("event", "action", "incident_key"),
    [
        (V1_TRIGGER, "trigger", ""),
        (V1_RESOLVE, "resolve", "db1/disk"),
        ({**V1_RESOLVE, "event_type": "acknowledge"}, "acknowledge", "db1/disk"),
        (DOCUMENTED_V1_TRIGGER, "trigger", "srv01/HTTP"),
    ],
)
def test_valid_v1_events_are_taken_with_their_type_and_incident_key(
    event: Event, action: str, incident_key: str
) -> None:
    parsed = parse("v1", event)
    assert (parsed.kind, parsed.action, parsed.dedup_key) == ("v1", action, incident_key)
    assert parsed.routing_key == event["service_key"]
    assert json.loads(parsed.body) == {**event, "service_key": ""}
    assert list(json.loads(parsed.body)) == list(event)


def test_a_v1_key_with_letters_beyond_f_is_taken() -> None:
    assert parse("v1", V1_TRIGGER).routing_key == "v4g5q7yie1qee1yio2uimz8yfbjenvj9"


@pytest.mark.parametrize(
    ("path", "value", "error"),
    [
        ("service_key", "abc", "service_key: is not 32 letters and digits, it has 3 characters"),
        ("service_key", [], "service_key: is a list, it takes 32 letters and digits"),
        (
            "event_type",
            "open",
            "event_type: 'open' is not one of trigger, acknowledge, resolve",
        ),
        ("incident_key", "x" * 256, "incident_key: has 256 characters, it takes text of at most"),
        ("description", "", "description: is empty, it takes text of 1 to 1,024 characters"),
        ("description", " ", "description: is blank, it takes text of 1 to 1,024 characters"),
        ("description", None, "description: is missing, it takes text of 1 to 1,024 characters"),
        ("contexts", [{"type": "link"}], "contexts[0].href: is missing, it takes text"),
        ("contexts", [{"type": "image"}], "contexts[0].src: is missing, it takes an address"),
    ],
)
def test_each_broken_rule_of_v1_is_named_alone(path: str, value: object, error: str) -> None:
    (only,) = errors_of("v1", changed(V1_TRIGGER, path, value))
    assert only.startswith(error)


def test_all_problems_of_a_v1_event_are_named_at_once() -> None:
    event = {
        "service_key": 1,
        "event_type": "open",
        "details": [],
        "contexts": [{"type": "link"}, 2],
    }
    assert {error.partition(":")[0] for error in errors_of("v1", event)} == {
        "service_key",
        "event_type",
        "description",
        "contexts[0].href",
    }


@pytest.mark.parametrize("event_type", ["acknowledge", "resolve"])
def test_v1_acknowledge_and_resolve_need_an_incident_key(event_type: str) -> None:
    event = {**V1_RESOLVE, "event_type": event_type}
    takes = "it takes text of 1 to 255 characters"
    assert errors_of("v1", without(event, "incident_key")) == (
        f"incident_key: is missing, {takes}",
    )
    assert errors_of("v1", {**event, "incident_key": ""}) == (f"incident_key: is empty, {takes}",)


def test_a_v1_resolve_may_have_a_description_and_details() -> None:
    event = {**V1_RESOLVE, "description": "fine again", "details": {"a": 1}}
    assert json.loads(parse("v1", event).body) == {**event, "service_key": ""}


@pytest.mark.parametrize("event", [CHANGE, DOCUMENTED_CHANGE])
def test_valid_change_events_are_taken(event: Event) -> None:
    parsed = parse("change", event)
    assert (parsed.kind, parsed.action, parsed.dedup_key) == ("change", "change", "")
    assert json.loads(parsed.body) == {**event, "routing_key": ""}


@pytest.mark.parametrize(
    ("path", "value", "error"),
    [
        ("routing_key", "abc", "routing_key: is not 32 letters and digits, it has 3 characters"),
        (
            "routing_key",
            "R" + KEY[1:],
            "routing_key: begins with R, and keys of global rulesets take no change events",
        ),
        ("routing_key", "R" * 33, "routing_key: is not 32 letters and digits, it has 33"),
        ("payload", None, "payload: is missing, it takes an object"),
        ("payload", {}, "payload.summary: is missing, it takes text of 1 to 1,024 characters"),
        ("payload.timestamp", "x", "payload.timestamp: 'x' is not an ISO 8601 date and time"),
        ("links", [{}], "links[0].href: is missing, it takes text that is not empty"),
    ],
)
def test_each_broken_rule_of_change_events_is_named_alone(
    path: str, value: object, error: str
) -> None:
    (only,) = errors_of("change", changed(CHANGE, path, value))
    assert only.startswith(error)


def test_keys_of_global_rulesets_take_alert_events() -> None:
    key = "R" + KEY[1:]
    event = {"routing_key": key, "event_action": "resolve", "dedup_key": "x"}
    assert parse("v2", event).routing_key == key


def test_keys_that_begin_with_a_small_r_take_change_events() -> None:
    assert parse("change", {**CHANGE, "routing_key": "r" + KEY[1:]})


def test_fields_of_other_formats_are_unknown_and_pass() -> None:
    event = {**CHANGE, "event_action": 5, "images": "none", "dedup_key": 7}
    assert json.loads(parse("change", event).body) == {**event, "routing_key": ""}
