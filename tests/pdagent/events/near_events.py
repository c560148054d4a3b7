"""Hypothesis strategies for events that are valid, or wrong in some places."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from pdagent.events import EventKind
from tests.pdagent.events.sample_events import KEY

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
_WRONG = _JSON | st.just("")


@st.composite
def _mostly(draw: st.DrawFn, *good: object) -> Any:
    """One of `good`; something else once in a while."""
    return draw(_WRONG if _seldom(draw) else st.sampled_from(good))


@st.composite
def _maybe(draw: st.DrawFn, required: dict[str, Any], optional: dict[str, Any]) -> Any:
    """Objects that have the required members as a rule, and some of the optional ones."""
    if _seldom(draw):
        return draw(st.fixed_dictionaries({}, optional={**required, **optional}))
    return draw(st.fixed_dictionaries(required, optional=optional))


def _seldom(draw: st.DrawFn) -> bool:
    # Not one_of() with one strategy several times: it is counted once.
    return draw(st.integers(0, 29)) == 29


_TEXT = _mostly("db1", "x")
_FREE = _mostly({"a": 1}, {})
_KEYS = _mostly(KEY, "r" + KEY[1:]) | _mostly(KEY, "R" + KEY[1:], KEY[1:])
_DEDUP = _mostly("db1/disk", "y" * 255) | _mostly("db1/disk", "y" * 256)
_TIMES = _mostly("2026-08-01T10:00:00Z", "2026-08-01") | _mostly("2026-08-01", "soon")
_LINKS = st.lists(_maybe({"href": _TEXT}, {"text": _TEXT}), max_size=2)
_IMAGES = st.lists(
    _maybe(
        {"src": _mostly("https://a/b") | _mostly("http://a/b", "https://c")},
        {"href": _TEXT, "alt": _TEXT},
    ),
    max_size=2,
)
_CONTEXTS = st.lists(
    _maybe(
        {"type": _mostly("link", "image"), "href": _TEXT, "src": _TEXT},
        {"text": _TEXT, "alt": _TEXT},
    ),
    max_size=2,
)
_ACTIONS = _mostly("trigger", "trigger", "acknowledge", "resolve")
_ALERT_PAYLOAD = _maybe(
    {
        "summary": _TEXT,
        "source": _TEXT,
        "severity": _mostly("critical", "error", "warning", "info") | _mostly("info", "fatal"),
    },
    {"timestamp": _TIMES, "class": _TEXT, "group": _TEXT, "custom_details": _FREE},
)
_CHANGE_PAYLOAD = _maybe(
    {"summary": _TEXT}, {"source": _TEXT, "timestamp": _TIMES, "custom_details": _FREE}
)

NEAR_EVENTS: dict[EventKind, st.SearchStrategy[Any]] = {
    "v1": _maybe(
        {
            "service_key": _KEYS,
            "event_type": _ACTIONS,
            "description": _TEXT,
            "incident_key": _DEDUP,
        },
        {"details": _FREE, "client": _TEXT, "contexts": _CONTEXTS},
    ),
    "v2": _maybe(
        {
            "routing_key": _KEYS,
            "event_action": _ACTIONS,
            "payload": _ALERT_PAYLOAD,
            "dedup_key": _DEDUP,
        },
        {"images": _IMAGES, "links": _LINKS, "client_url": _TEXT},
    ),
    "change": _maybe({"routing_key": _KEYS, "payload": _CHANGE_PAYLOAD}, {"links": _LINKS}),
}
"""Events of each kind; about half of them are valid."""
