"""Whatever arrives is an event or is refused as an invalid one: nothing else may happen."""

from __future__ import annotations

import json
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdagent.events import KINDS as KINDS_OF_EVENTS
from pdagent.events import EventKind, InvalidEvent, ParsedEvent, summary_of, with_routing_key
from pdagent.events import parse as parse_body
from tests.pdagent.events import json_texts
from tests.pdagent.events.sample_events import (
    KEY,
    V2_TRIGGER,
    changed,
    errors_of,
    raw,
)

KINDS = st.sampled_from(KINDS_OF_EVENTS)


def outcome(kind: EventKind, body: bytes) -> ParsedEvent | InvalidEvent:
    """Parse `body`; anything raised but InvalidEvent fails the test."""
    try:
        return parse_body(kind, body)
    except InvalidEvent as refusal:
        assert refusal.errors
        assert all(isinstance(error, str) and ": " in error for error in refusal.errors)
        return refusal


@settings(deadline=None)
@given(KINDS, st.binary())
def test_arbitrary_bytes_are_refused(kind: EventKind, body: bytes) -> None:
    assert isinstance(outcome(kind, body), InvalidEvent)


@settings(deadline=None)
@given(KINDS, json_texts.values())
def test_arbitrary_json_is_refused(kind: EventKind, body: str) -> None:
    assert isinstance(outcome(kind, body.encode()), InvalidEvent)


@settings(deadline=None)
@given(KINDS, st.data())
def test_an_event_with_arbitrary_bytes_in_it_is_taken_or_refused(
    kind: EventKind, data: st.DataObject
) -> None:
    body = raw(V2_TRIGGER)
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, len(body)))
    outcome(kind, body[:start] + data.draw(st.binary(max_size=20)) + body[end:])


@pytest.mark.parametrize("kind", KINDS_OF_EVENTS)
@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "the body: is empty, it takes a JSON object"),
        (b" \r\n", "the body: is empty, it takes a JSON object"),
        (b"[]", "the body: is a list, it takes a JSON object"),
        (b'"text"', "the body: is text, it takes a JSON object"),
        (b"null", "the body: is null, it takes a JSON object"),
        (b"17", "the body: is a number, it takes a JSON object"),
        (b"a=1&b=2", "the body: is not JSON: expecting value (line 1, column 1)"),
        (b'{"a": 1,}', "the body: is not JSON: "),
        (b'{"a": 1', "the body: is not JSON: "),
        (b'{"a": 1} {"b": 2}', "the body: is not JSON: extra data (line 1, column 10)"),
        (b'{"a": 01}', "the body: is not JSON: "),
        (b'{"a": "\x07"}', "the body: is not JSON: invalid control character"),
        (b'{"a": "\\x"}', "the body: is not JSON: "),
        (b"{'a': 1}", "the body: is not JSON: "),
        (b'{"a": NaN}', "the body: is not JSON: NaN is not a JSON number"),
        (b'{"a": [-Infinity]}', "the body: is not JSON: -Infinity is not a JSON number"),
        (b'{"a": "\\ud83d" 1}', "the body: is not JSON: expecting ',' delimiter (line 1"),
        (b'{"a": "x\ny"}', "the body: is not JSON: invalid control character at (line 1"),
        ('{"a": 1}'.encode("utf-16"), "the body: is not JSON: expecting value (line 1, column 1)"),
        (b"[" * 200_000 + b"]" * 200_000, "the body: is "),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "the body: is nested deeper than 256 levels"),
        (b"[" * 200_000, "the body: is "),
    ],
    ids=lambda value: repr(value[:24]),
)
def test_malformed_bodies_are_explained(kind: EventKind, body: bytes, error: str) -> None:
    (only,) = errors_of(kind, body)
    assert only.startswith(error)


def test_broken_json_behind_a_broken_rule_is_reported_as_broken_json() -> None:
    (only,) = errors_of("v2", b'{"routing_key": 5, "x": [1, }')
    assert only.startswith("the body: is not JSON: ")


def nested(levels: int) -> bytes:
    """A valid event of exactly `levels` levels."""
    inner = b"[" * (levels - 3) + b"]" * (levels - 3)
    body = raw(changed(V2_TRIGGER, "payload.custom_details", {"[{": 0}))
    return body.replace(b": 0}", b": " + inner + b"}")


def test_nesting_is_taken_up_to_256_levels() -> None:
    assert isinstance(outcome("v2", nested(256)), ParsedEvent)
    assert errors_of("v2", nested(257)) == ("the body: is nested deeper than 256 levels",)


def test_the_deepest_event_can_be_handled_on_the_stack_of_another_thread() -> None:
    parsed = parse_body("v2", nested(256))
    results: list[bytes | str] = []

    def deliver() -> None:
        results.append(with_routing_key("v2", parsed.body, KEY))
        results.append(summary_of("v2", parsed.body))

    thread = threading.Thread(target=deliver)
    thread.start()
    thread.join()
    assert json.loads(results[0]) == json.loads(nested(256))
    assert results[1] == "Disk full"


@pytest.mark.parametrize("text", ["[" * 300, "{" * 300, '\\"[' * 300, "\\\\[" * 300, "\\\\"])
def test_brackets_and_escapes_in_text_are_no_nesting(text: str) -> None:
    event = raw(changed(V2_TRIGGER, "payload.custom_details", {"text": "x", "l": [{}] * 300}))
    body = event.replace(b'"x"', f'"{text}"'.encode())
    assert isinstance(outcome("v2", body), ParsedEvent)


def test_a_byte_order_mark_is_dropped() -> None:
    parsed = parse_body("v2", b"\xef\xbb\xbf" + raw(V2_TRIGGER))
    assert parsed.body == parse_body("v2", raw(V2_TRIGGER)).body


def test_a_refusal_can_be_printed() -> None:
    refusal = InvalidEvent(("a: is missing", "b: is empty"))
    assert str(refusal) == "a: is missing; b: is empty"
