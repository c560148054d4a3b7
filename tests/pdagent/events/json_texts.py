"""Hypothesis strategies for JSON as text: the same value in many spellings."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

_SPACES = st.sampled_from(["", "", "", " ", "\n\t", "  "])
_NUMBERS = st.sampled_from(
    ["0", "-0", "1.0", "1.50", "1e400", "-1E+5", "0.1e-999", "12345678901234567890123", "9" * 5000]
) | st.integers().map(str)
_TEXT = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\/{}[]:,é\u2028\U0001f600'),
    max_size=12,
)


@st.composite
def strings(draw: st.DrawFn) -> str:
    """A JSON string, with or without escapes for what needs none."""
    return json.dumps(draw(_TEXT), ensure_ascii=draw(st.booleans())).replace(
        "/", draw(st.sampled_from(["/", "\\/"]))
    )


def values() -> st.SearchStrategy[str]:
    """Any JSON value as text, with white space and repeated names."""
    leaves = st.sampled_from(["null", "true", "false"]) | _NUMBERS | strings()
    return st.recursive(leaves, lambda inner: lists(inner) | objects(inner), max_leaves=8)


@st.composite
def lists(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    """A JSON list as text."""
    items = draw(st.lists(inner, max_size=4))
    return "[" + ",".join(spaced(draw, item) for item in items) + "]"


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    """A JSON object as text; names may repeat."""
    members = draw(st.lists(st.tuples(strings(), inner), max_size=4))
    return object_text(draw, members)


def object_text(draw: st.DrawFn, members: list[tuple[str, str]]) -> str:
    """Put members, name and value as JSON text, together with drawn white space."""
    return (
        "{"
        + ",".join(f"{spaced(draw, name)}:{spaced(draw, value)}" for name, value in members)
        + "}"
    )


def spaced(draw: st.DrawFn, text: str) -> str:
    """Put drawn white space around `text`."""
    return draw(_SPACES) + text + draw(_SPACES)


def tokens(text: bytes | str) -> Any:
    """Read JSON so that order, repeated names and the spelling of numbers can be compared."""

    def number(spelling: str) -> tuple[str, str]:
        return ("number", spelling)

    def members(pairs: list[tuple[str, Any]]) -> tuple[str, list[tuple[str, Any]]]:
        return ("object", pairs)

    return json.loads(text, parse_int=number, parse_float=number, object_pairs_hook=members)
