"""What programs say about the documentation leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
_MENTION = re.compile(r"\bdocs/([a-z/-]+\.md)(?:#([a-z0-9-]+))?")


def anchors_of(page: Path) -> set[str]:
    """The sections of a page, as links name them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}


def missing(page: Path, anchor: str | None) -> bool:
    """Whether there is no such page, or no such section on it."""
    return not page.is_file() or (bool(anchor) and anchor not in anchors_of(page))


def test_every_page_and_section_that_messages_name_is_there() -> None:
    mentions = {
        (file.name, page, anchor)
        for package in ("store", "actors", "pdagent")
        for file in (REPOSITORY / package).rglob("*.py")
        for page, anchor in _MENTION.findall(file.read_text())
    }
    assert len(mentions) > 5, "messages name pages"
    assert [each for each in mentions if missing(REPOSITORY / "docs" / each[1], each[2])] == []
