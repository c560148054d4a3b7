"""Long summaries and descriptions are shortened, never refused, never broken."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdagent.events import MAX_SUMMARY_CHARACTERS
from pdagent.events.shortening import boundary_before, shorten
from tests.pdagent.events.sample_events import (
    CHANGE,
    V1_RESOLVE,
    V1_TRIGGER,
    V2_RESOLVE,
    V2_TRIGGER,
    changed,
    parse,
)

FAMILY = "👩🏽‍👩🏽‍👧🏽‍👦🏽"
FLAG = "🇦🇹"


@pytest.mark.parametrize(
    ("kind", "event", "path"),
    [
        ("v2", V2_TRIGGER, "payload.summary"),
        ("v2", {**V2_RESOLVE, "payload": V2_TRIGGER["payload"]}, "payload.summary"),
        ("change", CHANGE, "payload.summary"),
        ("v1", V1_TRIGGER, "description"),
        ("v1", V1_RESOLVE, "description"),
    ],
)
def test_long_text_is_shortened_with_a_warning(kind, event, path) -> None:  # type: ignore[no-untyped-def]
    event = changed(event, path, "x" * 2000)
    parsed = parse(kind, event)
    assert parsed.warnings == (
        f"{path}: shortened from 2,000 to 1,024 characters, PagerDuty takes 1,024",
    )
    short = changed(event, path, "x" * 1023 + "…")
    key = "service_key" if kind == "v1" else "routing_key"
    assert json.loads(parsed.body) == {**short, key: ""}


def test_text_of_1024_characters_stays_whatever_its_bytes() -> None:
    for character in ("x", "é", "🔥"):
        summary = character * MAX_SUMMARY_CHARACTERS
        parsed = parse("v2", changed(V2_TRIGGER, "payload.summary", summary))
        assert parsed.warnings == ()
        assert json.loads(parsed.body)["payload"]["summary"] == summary


def test_shortening_keeps_the_order_of_the_keys() -> None:
    event = {"z": 1, **V2_TRIGGER, "a": 2}
    event["payload"] = {"zz": 1, "summary": "x" * 1025, **V2_TRIGGER["payload"], "aa": 2}
    event["payload"]["summary"] = "x" * 1025
    body = json.loads(parse("v2", event).body)
    assert list(body) == list(event)
    assert list(body["payload"]) == list(event["payload"])


@pytest.mark.parametrize(
    "character",
    [
        "e\u0301",
        "e\u0301\u0302\u0303",
        FAMILY,
        FLAG,
        "👍🏿",
        "❤\ufe0f",
        "1\ufe0f\u20e3",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "\r\n",
        "각",
        "नि",
    ],
    ids=ascii,
)
def test_one_visible_character_stays_whole_or_goes(character: str) -> None:
    text = character * 40
    for limit in range(1, len(text)):
        short = shorten(text, limit)
        assert len(short) <= limit
        assert short.endswith("…")
        assert short[:-1] == character * (len(short[:-1]) // len(character))
        assert len(short) > limit - len(character)


def test_text_between_flags_does_not_shift_them() -> None:
    text = f"a{FLAG * 10}"
    assert shorten(text, 5) == f"a{FLAG}…"
    assert shorten(text, 4) == f"a{FLAG}…"
    assert shorten(text, 6) == f"a{FLAG * 2}…"


def test_an_endless_stack_of_marks_is_cut_all_the_same() -> None:
    assert len(shorten("e" + "\u0301" * 5000, 1024)) == 1024


@settings(deadline=None)
@given(st.text(), st.integers(1, 40))
def test_the_result_is_a_beginning_of_the_text(text: str, limit: int) -> None:
    short = shorten(text, limit)
    assert len(short) <= limit
    assert short == text or (len(text) > limit and text.startswith(short[:-1]))


@settings(deadline=None)
@given(st.text(), st.integers(0, 40))
def test_boundaries_lie_within_the_text(text: str, position: int) -> None:
    position = min(position, len(text))
    assert 0 <= boundary_before(text, position) <= position
