"""What passes because PagerDuty is not known to refuse it, and what is repaired on the way."""

from __future__ import annotations

import json

import pytest

from pdagent.events import EventKind
from pdagent.events import parse as parse_body
from tests.pdagent.events.sample_events import (
    CHANGE,
    KEY,
    V1_RESOLVE,
    V1_TRIGGER,
    V2_RESOLVE,
    V2_TRIGGER,
    Event,
    changed,
    errors_of,
    parse,
    raw,
    without,
)

ANY = [5, 1.5, True, False, None, "text", "", [], ["a", [{"b": 1}]], {}, {"a": [1]}]
NOT_HTTPS = {"src": "http://graphite.example/x.png"}
HTTPS = {"src": "https://graphite.example/x.png", "text": "unknown to PagerDuty's page"}


@pytest.mark.parametrize("value", ANY, ids=repr)
@pytest.mark.parametrize(
    ("kind", "event", "path"),
    [
        ("v2", V2_TRIGGER, "payload.custom_details"),
        ("v2", V2_TRIGGER, "payload.component"),
        ("v2", V2_TRIGGER, "payload.group"),
        ("v2", V2_TRIGGER, "payload.class"),
        ("v2", V2_TRIGGER, "client"),
        ("v2", V2_TRIGGER, "client_url"),
        ("v2", V2_TRIGGER, "images"),
        ("v2", V2_TRIGGER, "links"),
        ("v2", {**V2_RESOLVE, "payload": V2_TRIGGER["payload"]}, "payload.custom_details"),
        ("change", CHANGE, "payload.custom_details"),
        ("change", CHANGE, "payload.source"),
        ("v1", V1_TRIGGER, "details"),
        ("v1", V1_TRIGGER, "client"),
        ("v1", V1_TRIGGER, "client_url"),
        ("v1", V1_TRIGGER, "agent"),
        ("v1", V1_RESOLVE, "description"),
    ],
)
def test_optional_fields_pass_unchanged_whatever_they_are(
    kind: EventKind, event: Event, path: str, value: object
) -> None:
    parsed = parse(kind, changed(event, path, value))
    key = "service_key" if kind == "v1" else "routing_key"
    assert json.loads(parsed.body) == {**changed(event, path, value), key: ""}
    assert parsed.warnings == ()


@pytest.mark.parametrize("value", [30, 0, 1.5, True, False, ["db1"], {"host": "db1"}], ids=repr)
@pytest.mark.parametrize(
    ("kind", "event", "path"),
    [
        ("v2", V2_TRIGGER, "payload.source"),
        ("v2", V2_TRIGGER, "payload.summary"),
        ("change", CHANGE, "payload.summary"),
        ("v1", V1_TRIGGER, "description"),
    ],
)
def test_required_text_may_be_any_value_but_nothing(
    kind: EventKind, event: Event, path: str, value: object
) -> None:
    assert raw({"x": value})[6:-1] in parse(kind, changed(event, path, value)).body
    for nothing in (None, "", " \t\u3000"):
        (only,) = errors_of(kind, changed(event, path, nothing))
        assert only.startswith(f"{path}: is ")


@pytest.mark.parametrize(("kind", "name"), [("v1", "incident_key"), ("v2", "dedup_key")])
def test_a_number_as_dedup_key_passes_and_names_the_alert(kind: EventKind, name: str) -> None:
    for event in (V1_TRIGGER, V1_RESOLVE) if kind == "v1" else (V2_TRIGGER, V2_RESOLVE):
        parsed = parse(kind, {**event, name: 4711})
        assert parsed.dedup_key == "4711"
        assert json.loads(parsed.body)[name] == 4711
        assert parse(kind, {**event, name: False}).dedup_key == "false"
        (only,) = errors_of(kind, {**event, name: ["a"]})
        assert only.startswith(f"{name}: is a list, it takes text of")


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"summary": "ok", "source": "db1"},
        {**V2_TRIGGER["payload"], "severity": "ok"},
        {**V2_TRIGGER["payload"], "source": ""},
        {**V2_TRIGGER["payload"], "timestamp": "yesterday"},
        {"summary": "x" * 2000},
        "text",
        [],
    ],
    ids=repr,
)
@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
def test_a_follow_up_goes_without_an_incomplete_payload(action: str, payload: object) -> None:
    event = {**V2_RESOLVE, "event_action": action}
    parsed = parse("v2", {**event, "payload": payload})
    assert json.loads(parsed.body) == {**event, "routing_key": ""}
    assert parsed.warnings == ("payload: left out, PagerDuty takes none that is incomplete",)


def test_a_follow_up_keeps_a_complete_payload() -> None:
    event = {**V2_RESOLVE, "payload": V2_TRIGGER["payload"]}
    parsed = parse("v2", event)
    assert json.loads(parsed.body) == {**event, "routing_key": ""}
    assert parsed.warnings == ()


def test_images_that_are_not_https_are_left_out() -> None:
    parsed = parse("v2", {**V2_TRIGGER, "images": [NOT_HTTPS, HTTPS, {"src": 5}]})
    assert json.loads(parsed.body)["images"] == [HTTPS]
    assert parsed.warnings == (
        "images: left out 2 images that are not https, PagerDuty shows no others",
    )
    parsed = parse("v2", {**V2_TRIGGER, "images": [NOT_HTTPS]})
    assert "images" not in json.loads(parsed.body)
    assert len(parsed.warnings) == 1


def test_contexts_that_pagerduty_refuses_are_left_out() -> None:
    link = {"type": "link", "href": "http://wiki.example"}
    image = {"type": "image", **NOT_HTTPS}
    odd = [{}, {"type": "video"}, {"type": 1}, 3, None]
    parsed = parse("v1", {**V1_TRIGGER, "contexts": [image, link, *odd]})
    assert json.loads(parsed.body)["contexts"] == [link, *odd]
    assert len(parsed.warnings) == 1
    for contexts in ([], [image]):
        parsed = parse("v1", {**V1_TRIGGER, "contexts": contexts})
        assert "contexts" not in json.loads(parsed.body)
        assert len(parsed.warnings) == 1


@pytest.mark.parametrize(("kind", "event"), [("v2", V2_TRIGGER), ("v1", V1_TRIGGER)])
def test_white_space_around_a_key_is_removed(kind: EventKind, event: Event) -> None:
    name = "service_key" if kind == "v1" else "routing_key"
    parsed = parse(kind, {**event, name: f" {KEY}\r\n"})
    assert parsed.routing_key == KEY
    assert parsed.warnings == (f"{name}: white space around it removed",)
    for length in (20, 31, 33):
        (only,) = errors_of(kind, {**event, name: "k" * length})
        assert only == f"{name}: is not 32 letters and digits, it has {length} characters"


@pytest.mark.parametrize(("kind", "event"), [("v2", V2_TRIGGER), ("change", CHANGE)])
def test_the_key_may_be_in_a_header(kind: EventKind, event: Event) -> None:
    body = without(event, "routing_key")
    other = "0" * 32
    for given in (body, {**body, "routing_key": None}, {**body, "routing_key": ""}):
        assert parse_body(kind, raw(given), f"{other} ").routing_key == other
    assert parse_body(kind, raw(event), other).routing_key == KEY


@pytest.mark.parametrize("kind", ["v1", "v2", "change"])
def test_white_space_before_the_event_changes_no_reason(kind: EventKind) -> None:
    for event in ({}, {"payload": {"summary": "s", "source": "", "severity": "info"}}):
        expected = errors_of(kind, raw(event))
        for blank in (b" ", b"\n", b"\r\n\t ", b"\xef\xbb\xbf \n"):
            assert errors_of(kind, blank + raw(event) + b"\n") == expected
    for body in (b"[]", b"5", b'"x"'):
        assert errors_of(kind, b" \n" + body) == errors_of(kind, body)


def test_latin_1_is_read_as_such() -> None:
    body = json.dumps(changed(V2_TRIGGER, "payload.summary", "Größe"), ensure_ascii=False)
    parsed = parse_body("v2", body.encode("latin-1"))
    assert json.loads(parsed.body)["payload"]["summary"] == "Größe"
    assert parsed.warnings == ("the body: is not UTF-8, read as Latin-1",)


def test_half_characters_become_replacement_characters() -> None:
    body = raw(V2_TRIGGER)
    for written in (b"\\ud83d", b"\\uDE00", b"\\ud83d\\ud83d", b"\xed\xa0\xbd"):
        parsed = parse_body("v2", body.replace(b"Disk", written))
        summary = json.loads(parsed.body)["payload"]["summary"]
        assert set(summary.removesuffix(" full")) == {"\ufffd"}
        assert parsed.warnings == (
            "the body: has half characters (lone surrogates), replaced by U+FFFD",
        )
    kept = body.replace(b"Disk", b"\\ud83d\\ude00 \\\\ud83d")
    assert json.loads(parse_body("v2", kept).body)["payload"]["summary"] == "😀 \\ud83d full"
    assert parse_body("v2", kept).warnings == ()
    pair = body.replace(b"Disk", b"\xed\xa0\xbd\xed\xb8\x80")
    assert json.loads(parse_body("v2", pair).body)["payload"]["summary"] == "😀 full"


@pytest.mark.parametrize("name", ["images", "links"])
def test_of_many_problems_twenty_are_named_and_the_others_counted(name: str) -> None:
    errors = errors_of("v2", {**V2_TRIGGER, name: [{}] * 100_000})
    assert len(errors) == 21
    assert errors[-1] == "the event: has 99,980 more problems"
    assert len("".join(errors)) < 3_000


def test_of_many_repairs_one_warning_is_given() -> None:
    (warning,) = parse("v2", {**V2_TRIGGER, "images": [NOT_HTTPS] * 5_000}).warnings
    assert warning.startswith("images: left out 5,000 images")


@pytest.mark.parametrize("action", [0, "resolved", "Trigger", "", None, ["trigger"]])
def test_unknown_actions_are_refused(action: object) -> None:
    (only,) = errors_of("v2", {**V2_TRIGGER, "event_action": action})
    assert only.startswith("event_action: ")


@pytest.mark.parametrize("severity", ["CRITICAL", "none", "ok", "warn", "high", "", None, 1])
def test_unknown_severities_are_refused(severity: object) -> None:
    (only,) = errors_of("v2", changed(V2_TRIGGER, "payload.severity", severity))
    assert only.startswith("payload.severity: ")


@pytest.mark.parametrize(
    ("timestamp", "valid"),
    [
        ("2026-08-01T10:00:00-07", True),
        ("2026-08-01T10:00-07", True),
        ("", True),
        (None, True),
        ("2026-08-01T1:00:00Z", False),
        ("2026-08-01 1:00:00", False),
        (1785578400, False),
    ],
)
def test_timestamps_are_iso_8601(timestamp: object, valid: bool) -> None:
    event = changed(V2_TRIGGER, "payload.timestamp", timestamp)
    if valid:
        assert parse("v2", event).warnings == ()
    else:
        assert "an ISO 8601 date and time" in errors_of("v2", event)[0]
