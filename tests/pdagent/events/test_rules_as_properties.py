"""Properties that hold for every event, drawn by hypothesis."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pdagent.events import KINDS as KINDS_OF_EVENTS
from pdagent.events import (
    EventKind,
    InvalidEvent,
    complete,
    with_routing_key,
)
from pdagent.events import parse as parse_body
from tests.pdagent.events import json_texts
from tests.pdagent.events.near_events import NEAR_EVENTS
from tests.pdagent.events.rules_by_hand import is_valid
from tests.pdagent.events.sample_events import (
    ACCEPTED_AT,
    AGENT,
    EVENT_ID,
    KEY,
    V1_TRIGGER,
    V2_TRIGGER,
    parse,
    raw,
)

KINDS = st.sampled_from(KINDS_OF_EVENTS)
# What the sentences about the events below are made of.
_SENTENCES = (
    "routing_key service_key event_action event_type payload severity timestamp "
    "is not 32 letters and digits, it has characters is not one of trigger, acknowledge, resolve"
)
_FIELD = re.compile(r"[a-z_]+(\[\d+\])?(\.[a-z_]+)?: ")


def refusal_of(kind: EventKind, body: bytes) -> tuple[str, ...]:
    """Return what is wrong with an event, nothing if it is taken."""
    try:
        parse_body(kind, body)
    except InvalidEvent as refusal:
        return refusal.errors
    return ()


@settings(max_examples=500, deadline=None)
@given(KINDS, st.data())
def test_the_rules_are_those_of_pagerduty(kind: EventKind, data: st.DataObject) -> None:
    event = data.draw(NEAR_EVENTS[kind])
    errors = refusal_of(kind, raw(event))
    assert (errors == ()) == is_valid(kind, event)
    if isinstance(event, dict):
        # Never the sentence for an event that the schemas refuse and nobody can tell why.
        assert all(_FIELD.match(error) for error in errors), errors
        assert not any(error.startswith("the event:") for error in errors)
    assert len(set(errors)) == len(errors)


@settings(max_examples=100, deadline=None)
@given(KINDS, st.data())
def test_each_problem_goes_away_with_its_field_alone(kind: EventKind, data: st.DataObject) -> None:
    """Problems of different top-level fields don't hide each other."""
    event = data.draw(NEAR_EVENTS[kind].filter(lambda event: isinstance(event, dict)))
    optional = {"images", "links", "contexts", "client", "client_url", "details"} & event.keys()
    expected = {
        error
        for error in refusal_of(kind, raw(event))
        if re.split(r"[.\[:]", error)[0] not in optional
    }
    rest = {name: value for name, value in event.items() if name not in optional}
    assert set(refusal_of(kind, raw(rest))) == expected


@st.composite
def event_texts(draw: st.DrawFn) -> tuple[EventKind, str]:
    """Valid events as text, with unknown fields of any value and any spelling everywhere."""
    free, extra = json_texts.objects(json_texts.values()), json_texts.values()
    unknown = st.lists(st.tuples(st.sampled_from(["zone", "é", "a.b", ""]), extra), max_size=2)

    def members(known: dict[str, str]) -> str:
        names = {json.dumps(name): value for name, value in draw(unknown)}
        pairs = draw(st.permutations([*known.items(), *names.items()]))
        return json_texts.object_text(draw, list(pairs))

    key, summary = f'"{KEY}"', '"Disk\\u0020full \\u00e9"'
    if draw(st.booleans()):
        payload = members(
            {
                '"summary"': summary,
                '"source"': '"db\\/1"',
                '"severity"': '"info"',
                '"custom_details"': draw(free),
            }
        )
        event = {'"routing_key"': key, '"event_action"': '"trigger"', '"payload"': payload}
        return "v2", members(event)
    event = {'"service_key"': key, '"event_type"': '"trigger"', '"description"': summary}
    return "v1", members({**event, '"details"': draw(free)})


def blanked(pairs: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """The members of an event without its key."""
    return [(n, "" if n in ("routing_key", "service_key") else value) for n, value in pairs]


@settings(max_examples=100, deadline=None)
@given(event_texts())
def test_nothing_that_the_client_sent_is_rewritten(event: tuple[EventKind, str]) -> None:
    kind, text = event
    parsed = parse_body(kind, text.encode())
    _, sent = json_texts.tokens(text)
    _, kept = json_texts.tokens(parsed.body)
    assert kept == blanked(sent)
    _, delivered = json_texts.tokens(with_routing_key(kind, parsed.body, KEY))
    assert delivered == sent


@settings(max_examples=100, deadline=None)
@given(event_texts())
def test_completion_only_adds(event: tuple[EventKind, str]) -> None:
    kind, text = event
    done = complete(
        parse_body(kind, text.encode()), event_id=EVENT_ID, accepted_at=ACCEPTED_AT, agent=AGENT
    )
    _, sent = json_texts.tokens(text)
    _, delivered = json_texts.tokens(with_routing_key(kind, done.body, KEY))
    if kind == "v1":
        added = ["incident_key", "agent"]
        assert [name for name, _ in delivered[len(sent) :]] == added
        assert delivered[: len(sent)] == sent
        return
    assert delivered[len(sent) :] == [("dedup_key", EVENT_ID)]
    for (name, before), (name_after, after) in zip(sent, delivered, strict=False):
        assert name == name_after
        if name == "payload":
            assert after[1] == [*before[1], ("timestamp", "2026-08-01T10:00:00.250Z")]
        else:
            assert after == before


def test_values_keep_their_very_bytes() -> None:
    details = b'{ "n":[1.0 , 1e400,\t-0,12345678901234567890], "t":"\\u00e9\\/\\ud83d\\ude00" }'
    body = raw({**V2_TRIGGER, "future": {}}).replace(b"{}", details)
    assert b'"future":' + details in parse_body("v2", body).body


@settings(deadline=None)
@given(st.sampled_from(["v1", "v2"]), st.text(min_size=6, max_size=40))
def test_a_refused_key_is_never_repeated(kind: EventKind, key: str) -> None:
    """Not even if it was put into other fields as well."""
    assume(key not in _SENTENCES and len(key.strip()) >= 6)
    if kind == "v1":
        event = {**V1_TRIGGER, "service_key": key, "event_type": key}
    else:
        event = {**V2_TRIGGER, "routing_key": key, "event_action": key}
        event["payload"] = {"summary": "x", "source": "y", "severity": key, "timestamp": key}
    errors = refusal_of(kind, raw(event))
    assert errors
    assert not any(key in error or repr(key)[1:-1] in error for error in errors)


@pytest.mark.parametrize("field", ["event_action", "dedup_key", "payload"])
def test_a_key_in_the_wrong_field_is_never_repeated(field: str) -> None:
    secret = "u+sampleKEY0000000000000000000000"
    for value in (secret, [secret], {secret: secret}, f"key={secret}"):
        errors = refusal_of("v2", raw({"routing_key": "mistaken", field: value}))
        assert not any(secret[2:] in error for error in errors)


def test_a_key_as_the_name_of_a_field_is_never_repeated() -> None:
    secret = "u+sampleKEY0000000000000000000000"
    errors = refusal_of("v2", f'{{"{secret}": 1, "{secret}": 2}}'.encode())
    assert errors
    assert not any(secret[2:] in error for error in errors)


def test_a_parsed_event_shows_its_key_to_nobody() -> None:
    from rich.pretty import pretty_repr

    parsed = parse("v2", V2_TRIGGER)
    shown = f"{parsed!r} {parsed} {pretty_repr(parsed)} {parsed.body!r}"
    assert KEY not in shown
    assert "action='trigger'" in shown
