"""The documentation by topic: its pages, which come with the program, and their sections."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from typing import NamedTuple

_HEADING = re.compile(r"^(#+) (.+)$")
_FENCE = re.compile(r"^ *```")
# "A full queue" is the topic full-queue, "5. Queues and journal have limits" has no number.
_NOT_NAMED = re.compile(r"^(?:(?:an?|the|[0-9]+)-)+")


class Topic(NamedTuple):
    """A page or a section: its `name`, the `place` as docs/PAGE.md#SECTION, its heading, its text.

    A section's text includes the sections below it.
    """

    name: str
    place: str
    heading: str
    text: str


def topics() -> Iterator[Topic]:
    """All pages, each followed by its sections."""
    root = files("pdagent") / "docs"
    pages = [(f"{page.name}", page) for page in root.iterdir()]
    for folder in ("clients", "integrations"):
        pages += [(f"{folder}/{page.name}", page) for page in (root / folder).iterdir()]
    for path, page in sorted(pages, key=lambda each: each[0]):
        if path.endswith(".md"):
            yield from _topics_of(path, page.read_text("utf-8"))


def named(words: str) -> list[Topic]:
    """The topics with this name."""
    return [each for each in topics() if words in (each.name, each.name.rpartition("/")[2])]


def find(words: str) -> list[Topic]:
    """The topics that `words` may mean: a place, a name, or the beginning of one. At best one."""
    if words.startswith("docs/"):
        return [topic for topic in topics() if topic.place == words]
    return named(words) or [topic for topic in topics() if topic.name.startswith(words)]


def _topics_of(path: str, page: str) -> Iterator[Topic]:
    lines = page.splitlines(keepends=True)
    headings = list(_headings(lines))
    for number, (line, level, heading) in enumerate(headings):
        following = (at for at, depth, _ in headings[number + 1 :] if depth <= level)
        text = "".join(lines[line : next(following, len(lines))])
        if level == 1:
            name = path.removesuffix(".md").removesuffix("/README")
            yield Topic(name, f"docs/{path}", heading, page)
        else:
            anchor = anchor_of(heading)
            yield Topic(_NOT_NAMED.sub("", anchor), f"docs/{path}#{anchor}", heading, text)


def _headings(lines: list[str]) -> Iterator[tuple[int, int, str]]:
    """The number of the line, the level and the text of each heading."""
    is_code = False
    for number, line in enumerate(lines):
        if _FENCE.match(line):
            is_code = not is_code
        elif not is_code and (match := _HEADING.match(line)):
            yield number, len(match[1]), match[2].replace("`", "")


def anchor_of(heading: str) -> str:
    """How links name a section, as https://github.com shows it."""
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
