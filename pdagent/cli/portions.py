"""A file of events, cut into portions that the agent takes in one request each."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from typing import NamedTuple

from pdagent.events import rawjson
from pdagent.events.kinds import KEY_NAMES
from pdagent.events.ndjson import LineSplitter, TooLong, decides, why_not_lines

LONGEST_LINE = 512_000  # bytes
_MOST_LINES = 10_000
_MOST_BYTES = 4 << 20
_PIECE = 1 << 18  # bytes
_KEY_NAMES = frozenset(KEY_NAMES.values())


class NotLines(Exception):
    """The file has something else than an event per line; the text says what to do."""


class Portion(NamedTuple):
    """Some lines; `first` is the number of the first, `too_long` those of lines left empty here.

    Numbers count from 1 over the whole file.
    """

    first: int
    lines: list[bytes]
    too_long: tuple[int, ...]

    @property
    def filled(self) -> list[int]:
        """The numbers of the lines with something in them."""
        return [n for n, line in enumerate(self.lines, self.first) if line.strip()]


def portions(descriptor: int) -> Iterator[Portion]:
    """The lines of an open file, as many at once as are there without waiting for more.

    Raises OSError if it can't be read, `NotLines` before anything else if it can't be cut.
    """
    beginning: bytes | None = b""
    splitter = LineSplitter(LONGEST_LINE)
    lines: list[bytes] = []
    first, size = 1, 0
    while piece := os.read(descriptor, _PIECE):
        if beginning is not None:
            beginning += piece
            if decides(beginning):
                _check_beginning(beginning)
                beginning = None
        for line in splitter.feed(piece):
            lines.append(line)
            size += len(line)
            if len(lines) >= _MOST_LINES or size >= _MOST_BYTES:
                yield _portion(first, lines)
                first, lines, size = first + len(lines), [], 0
        if lines and not _has_more(descriptor):
            yield _portion(first, lines)
            first, lines, size = first + len(lines), [], 0
    _check_beginning(beginning or b"")
    lines.extend(splitter.end())
    if lines:
        yield _portion(first, lines)


def _check_beginning(beginning: bytes) -> None:
    if (reason := why_not_lines(beginning)) is not None:
        raise NotLines(reason)


def _portion(first: int, lines: list[bytes]) -> Portion:
    too_long = [n for n, line in enumerate(lines, first) if isinstance(line, TooLong)]
    if first == 1:
        # Only now: a copy of a line doesn't tell any more that it was too long.
        lines[0] = lines[0].removeprefix(rawjson.BYTE_ORDER_MARK)
    return Portion(first, lines, tuple(too_long))


def _has_more(descriptor: int) -> bool:
    """Whether reading would not wait; true at the end of a file as well."""
    return bool(select.select([descriptor], [], [], 0)[0])


def named_key(line: bytes) -> tuple[str, str] | None:
    """The member of `line` that has a key by name, and the key as `@NAME`; None if none has."""
    if b'"@' not in line:
        return None
    members = _members(line)
    for name in _KEY_NAMES & members.keys():
        value = rawjson.text(members[name])
        if value is not None and value.startswith("@"):
            return name, value
    return None


def with_member(line: bytes, member: str, value: str) -> bytes:
    """`line`, a JSON object, with another `value` of `member`; all others stay to the letter."""
    return rawjson.write({**_members(line), member: rawjson.raw(value)})


def with_key(line: bytes, name: str, key: str) -> bytes:
    """`line` with the member `name` in front, unless it has a key; what is no object stays as is.

    Nothing else in it is touched, not even what is wrong with it.
    """
    inside = line.lstrip()[1:]
    members = _members(line)
    if _KEY_NAMES & members.keys() or not (members or inside.lstrip().startswith(b"}")):
        return line
    comma = b"," if members else b""
    return b'{"%b":%b%b%b' % (name.encode(), rawjson.write(key), comma, inside)


def _members(line: bytes) -> rawjson.Members:
    try:
        return rawjson.read(line)[0]
    except rawjson.MalformedJsonError:
        return {}
