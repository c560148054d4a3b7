"""How the text of `--link` and `--image` is taken apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdagent.cli.parameters import Image, Link, image, link


@pytest.mark.parametrize(
    ("text", "href", "name"),
    [
        ("https://example.com", "https://example.com", None),
        ("https://example.com=Wiki", "https://example.com", "Wiki"),
        ("https://example.com=a=b", "https://example.com", "a=b"),
        ("https://example.com/?id=5", "https://example.com/?id=5", None),
        ("https://example.com/?id=5=Wiki", "https://example.com/?id=5", "Wiki"),
        ("https://example.com/?a=1&b=2=Up & down", "https://example.com/?a=1&b=2", "Up & down"),
        ("https://example.com/#a=1=Wiki", "https://example.com/#a=1", "Wiki"),
        ("https://example.com/?token=abc==", "https://example.com/?token=abc==", None),
        ("https://example.com=", "https://example.com=", None),
        ("https://example.com=two\nlines", "https://example.com", "two\nlines"),
    ],
)
def test_a_link_is_split_after_the_parameters_of_its_query(
    text: str, href: str, name: str | None
) -> None:
    assert link(text) == Link(href, name)


@given(st.text())
def test_no_part_of_a_link_gets_lost(text: str) -> None:
    href, name = link(text)
    assert (href if name is None else f"{href}={name}") == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://a/b.png", Image("https://a/b.png", None, None)),
        ("https://a/b.png,,Alt, too", Image("https://a/b.png", None, "Alt, too")),
        ("https://a/b.png,https://c", Image("https://a/b.png", "https://c", None)),
    ],
)
def test_an_image_is_split_at_its_first_two_commas(text: str, expected: Image) -> None:
    assert image(text) == expected
