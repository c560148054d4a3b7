"""What the documentation says of this repository is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path.relative_to(REPOSITORY)
    for path in [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")]
)
OURS = re.compile(r"(?<![\w./-])(?:tests|actors|store|pdagent|docs)/[\w./-]*\w/?")
TEST = re.compile(r"`(tests/[\w./-]+)::(\w+)")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    named = set(OURS.findall((REPOSITORY / page).read_text("utf-8")))
    assert not [path for path in sorted(named) if not (REPOSITORY / path).exists()]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_test_that_a_page_names_is_there(page: Path) -> None:
    for file, test in TEST.findall((REPOSITORY / page).read_text("utf-8")):
        assert f"def {test}(" in (REPOSITORY / file).read_text("utf-8"), f"{file}::{test}"


def test_each_guarantee_names_a_test_that_holds_it() -> None:
    text = (REPOSITORY / "docs" / "guarantees.md").read_text("utf-8")
    promises = re.split(r"^## (?=\d)", text, flags=re.MULTILINE)[1:]
    assert len(promises) == 7
    for promise in promises:
        assert re.search(r"\*Held by\*\s+`tests/\S+\.py`", promise), promise.splitlines()[0]
