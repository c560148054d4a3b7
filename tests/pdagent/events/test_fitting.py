"""Events that grow past the limit by what the agent adds are made to fit, not lost."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from pdagent.events import (
    MAX_EVENT_BYTES,
    EventKind,
    ParsedEvent,
    complete,
    with_routing_key,
)
from pdagent.events.fitting import shortened
from tests.pdagent.events import json_texts
from tests.pdagent.events.sample_events import (
    ACCEPTED_AT,
    AGENT,
    CHANGE,
    EVENT_ID,
    KEY,
    PARSERS,
    V1_RESOLVE,
    V1_TRIGGER,
    V2_TRIGGER,
    Event,
    changed,
)


def compact(event: object) -> bytes:
    """Write an event without white space."""
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()


def filled(event: Event, path: str, size: int = MAX_EVENT_BYTES) -> Event:
    """Set the text at `path` so that the event takes `size` bytes."""
    return changed(event, path, "x" * (size - len(compact(changed(event, path, "")))))


def delivered(kind: EventKind, body: bytes) -> tuple[dict[str, Any], ParsedEvent]:
    """Complete an event, check that it fits and is valid; return it as PagerDuty gets it."""
    assert len(body) <= MAX_EVENT_BYTES
    done = complete(PARSERS[kind](body), event_id=EVENT_ID, accepted_at=ACCEPTED_AT, agent=AGENT)
    sent = with_routing_key(kind, done.body, KEY)
    assert len(sent) <= MAX_EVENT_BYTES
    assert PARSERS[kind](sent).body == done.body
    event: dict[str, Any] = json.loads(sent)
    return event, done


def test_an_event_that_just_fits_after_completion_loses_nothing() -> None:
    event = changed(V2_TRIGGER, "payload.custom_details", {"log": ""})
    growth = len(f',"dedup_key":"{EVENT_ID}","timestamp":"2026-08-01T10:00:00.250Z"')
    exact = filled(event, "payload.custom_details.log", MAX_EVENT_BYTES - growth)
    sent, done = delivered("v2", compact(exact))
    assert done.warnings == ()
    assert len(compact(sent)) == MAX_EVENT_BYTES
    one_more = filled(event, "payload.custom_details.log", MAX_EVENT_BYTES - growth + 1)
    assert delivered("v2", compact(one_more))[1].warnings != ()


def test_the_longest_detail_is_shortened_and_all_else_stays() -> None:
    details = {"a": "short", "log": "", "z": [1.0, {"deep": "text"}]}
    event = filled(
        changed(V2_TRIGGER, "payload.custom_details", details), "payload.custom_details.log"
    )
    sent, done = delivered("v2", compact(event))
    (warning,) = done.warnings
    assert warning.startswith("payload.custom_details: shortened by ")
    assert warning.endswith(" bytes, PagerDuty takes events of at most 512,000 bytes")
    log = sent["payload"]["custom_details"].pop("log")
    assert log.endswith("x…")
    assert len(log) > 511_000
    del event["payload"]["custom_details"]["log"]
    payload = {**event["payload"], "timestamp": "2026-08-01T10:00:00.250Z"}
    assert sent == {**event, "payload": payload, "dedup_key": EVENT_ID}


def test_white_space_goes_first() -> None:
    details = {"n": [1.5] * 80_000}
    body = compact(changed(V2_TRIGGER, "payload.custom_details", details))
    spaces = b" " * (MAX_EVENT_BYTES - len(body))
    sent, done = delivered("v2", body.replace(b"[", b"[" + spaces))
    assert done.warnings == ()
    assert sent["payload"]["custom_details"] == details
    assert sent["dedup_key"] == EVENT_ID


def test_needless_escapes_go_before_anything_is_lost() -> None:
    # As Python's json.dumps writes what is not ASCII, next to what looks like it and isn't.
    details = {
        "\u00e9": "\u00fc\u20ac\U0001f600",
        "path": "C:\\u00e9\\\u00e9\n\u007f\u0000",
        "log": "",
    }
    event = changed(V2_TRIGGER, "payload.custom_details", details)
    room = MAX_EVENT_BYTES - len(json.dumps(event, separators=(",", ":")))
    details["log"] = "\U0001f600" * (room // 12) + "x" * (room % 12)
    escaped = json.dumps(
        changed(V2_TRIGGER, "payload.custom_details", details), separators=(",", ":")
    )
    assert len(escaped) == MAX_EVENT_BYTES
    sent, done = delivered("v2", escaped.encode())
    assert done.warnings == ()
    assert sent["payload"]["custom_details"] == details
    assert sent["dedup_key"] == EVENT_ID


def test_the_agent_object_of_a_v1_event_goes_before_what_the_client_sent() -> None:
    event = filled({**V1_RESOLVE, "details": {"log": ""}}, "details.log")
    sent, done = delivered("v1", compact(event))
    assert sent == event
    assert done.warnings == ("agent: left out, PagerDuty takes events of at most 512,000 bytes",)


def test_an_agent_object_of_the_client_is_no_more_special_than_other_fields() -> None:
    event = filled(
        {**V1_TRIGGER, "agent": {"queued_by": "me"}, "details": {"log": ""}}, "details.log"
    )
    sent, done = delivered("v1", compact(event))
    assert sent["agent"] == {"queued_by": "me"}
    assert sent["incident_key"] == EVENT_ID
    assert [warning.partition(":")[0] for warning in done.warnings] == ["details"]


def test_a_list_of_many_small_values_loses_its_end() -> None:
    numbers = list(range(100_000, 173_000))
    event = changed(V2_TRIGGER, "payload.custom_details", {"n": numbers, "s": ""})
    sent, done = delivered("v2", compact(filled(event, "payload.custom_details.s")))
    kept = sent["payload"]["custom_details"]["n"]
    assert kept == numbers[: len(kept)]
    assert len(numbers) - 20 < len(kept) < len(numbers)
    assert len(done.warnings) == 1


@pytest.mark.parametrize(
    ("kind", "event", "path"),
    [
        ("v2", V2_TRIGGER, "payload.source"),
        ("v2", V2_TRIGGER, "payload.component"),
        ("v2", V2_TRIGGER, "client"),
        ("v2", V2_TRIGGER, "description"),
        ("v2", V2_TRIGGER, "payload.summary_of_all"),
        ("v2", {**V2_TRIGGER, "details": {}}, "details.x"),
        ("change", CHANGE, "dedup_key"),
        ("v1", V1_TRIGGER, "client_url"),
        ("v1", {**V1_TRIGGER, "payload": {}}, "payload.summary"),
    ],
)
def test_bulk_in_any_other_field_is_shortened(kind: EventKind, event: Event, path: str) -> None:
    event = filled(event, path)
    sent, done = delivered(kind, compact(event))
    bulk: Any = sent
    for step in path.split("."):
        bulk = bulk[step]
    assert bulk.endswith("x…")
    assert len(bulk) > 510_000
    fields = {warning.partition(":")[0] for warning in done.warnings} - {"agent"}
    assert len(fields) == 1
    assert path.startswith(fields.pop())


def test_links_and_images_go_whole() -> None:
    link = {"href": "https://example.com/", "text": "x" * 900}
    event = {**V2_TRIGGER, "links": [link] * 500, "pad": ""}
    event = filled({**event, "links": [link] * 537}, "pad")
    sent, done = delivered("v2", compact(event))
    assert sent["links"] == [link] * 536
    assert done.warnings[0].startswith("links: shortened by ")


def test_a_field_that_cannot_be_shortened_goes_whole() -> None:
    event = {**V2_TRIGGER, "payload": {**V2_TRIGGER["payload"], "custom_details": {"kept": 1}}}
    room = MAX_EVENT_BYTES - len(compact(event)) - len(',"":1')
    sent, done = delivered("v2", compact({**event, "n" * room: 1}))
    assert sent["payload"]["custom_details"] == {"kept": 1}
    assert len(sent) == len(event) + 1
    assert "left out" in done.warnings[0]
    assert len(done.warnings[0]) < 200


def test_an_event_of_tiny_fields_loses_some_of_them() -> None:
    count = (MAX_EVENT_BYTES - len(compact(V2_TRIGGER))) // len(',"000000":1')
    event = {**V2_TRIGGER, **{f"{number:06}": 1 for number in range(count)}}
    sent, done = delivered("v2", compact(event))
    assert sent["payload"] == {**V2_TRIGGER["payload"], "timestamp": "2026-08-01T10:00:00.250Z"}
    assert len(event) - 12 < len(sent) < len(event)
    assert all("left out" in warning for warning in done.warnings)


@pytest.mark.parametrize(
    ("value", "excess", "shorter"),
    [
        (b'"abcdefghij"', 4, b'"abc\xe2\x80\xa6"'),
        (b'"abc"', 1, None),
        (b"[1,2,3,4]", 1, b"[1,2,3]"),
        (b"[1,2,3,4]", 2, b"[1,2,3]"),
        (b"[1,2,3,4]", 3, b"[1,2]"),
        (b"[1,2,3,4]", 7, b"[]"),
        (b"[1,2,3,4]", 8, None),
        (b'{"a":1,"b":2}', 6, b'{"a":1}'),
        (b'{"a":1,"b":["abcdefgh","x"]}', 2, b'{"a":1,"b":["abc\xe2\x80\xa6","x"]}'),
        (b"12345", 1, None),
        (b"{}", 1, None),
    ],
)
def test_values_lose_what_they_have_to_and_no_more(
    value: bytes, excess: int, shorter: bytes | None
) -> None:
    result = shortened(Raw(value), excess)
    assert (None if result is None else bytes(result)) == shorter


@settings(deadline=None)
@given(json_texts.values(), st.integers(1, 30))
def test_a_shortened_value_is_short_enough_and_json(text: str, excess: int) -> None:
    value = msgspec.json.format(text.encode(), indent=-1)
    result = shortened(Raw(value), excess)
    if result is not None:
        assert len(result) <= len(value) - excess
        assert type(json_texts.tokens(bytes(result))) is type(json_texts.tokens(value))


BULK = st.sampled_from(
    ["x", "é", "🔥", '"', "\\", "\n", "\u0001", "e\u0301", "👩🏽‍👧🏽", "\u2028", "a b "]
)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["payload.custom_details", "payload.source", "extra"]),
    st.lists(BULK, min_size=1, max_size=3),
    st.integers(0, 300),
    st.sampled_from(["text", "list", "object", "deep"]),
    st.booleans(),
)
def test_every_event_within_the_limit_fits_after_completion(
    path: str, bulk: list[str], spare: int, shape: str, ascii_only: bool
) -> None:
    def write(event: Event) -> bytes:
        return json.dumps(event, ensure_ascii=ascii_only).encode()

    def event_with(count: int) -> Event:
        text = "".join(bulk) * count
        pieces = [text[at : at + 40] for at in range(0, len(text), 40)]
        deep: object = text
        for _ in range(30):
            deep = {"d": [deep]}
        shapes: dict[str, object] = {
            "text": {"t": text},
            "list": {"l": pieces},
            "object": {str(n): piece for n, piece in enumerate(pieces)},
            "deep": {"n": deep},
        }
        return changed(V2_TRIGGER, path, "x" + text if path == "payload.source" else shapes[shape])

    unit = (len(write(event_with(2000))) - len(write(event_with(0)))) / 2000
    count = int((MAX_EVENT_BYTES - spare) / unit)
    while len(write(event_with(count))) > MAX_EVENT_BYTES - spare:
        count -= max(1, count // 500)
    sent, done = delivered("v2", write(event_with(count)))
    assert sent["dedup_key"] == EVENT_ID
    assert sent["payload"]["summary"] == "Disk full"
    assert done.dedup_key == EVENT_ID
