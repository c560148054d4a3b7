"""A file of events, cut into portions that the agent takes in one request each."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from pdagent.httpapi.ndjson import LineSplitter, TooLong

LONGEST_LINE = 512_000
_MOST_LINES = 10_000
_MOST_BYTES = 4 << 20
_PIECE = 1 << 18
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


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

    Raises OSError if it can't be read.
    """
    splitter = LineSplitter(LONGEST_LINE)
    lines: list[bytes] = []
    first, size = 1, 0
    while piece := os.read(descriptor, _PIECE):
        for line in splitter.feed(piece):
            lines.append(line)
            size += len(line)
            if len(lines) >= _MOST_LINES or size >= _MOST_BYTES:
                yield _portion(first, lines)
                first, lines, size = first + len(lines), [], 0
        if lines and not _has_more(descriptor):
            yield _portion(first, lines)
            first, lines, size = first + len(lines), [], 0
    lines.extend(splitter.end())
    if lines:
        yield _portion(first, lines)


def _portion(first: int, lines: list[bytes]) -> Portion:
    too_long = [n for n, line in enumerate(lines, first) if isinstance(line, TooLong)]
    if first == 1:
        # Only now: a copy of a line doesn't tell any more that it was too long.
        lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
    return Portion(first, lines, tuple(too_long))


def _has_more(descriptor: int) -> bool:
    """Whether reading would not wait; true at the end of a file as well."""
    return bool(select.select([descriptor], [], [], 0)[0])


class _Keys(msgspec.Struct):
    routing_key: msgspec.Raw | UnsetType = UNSET
    service_key: msgspec.Raw | UnsetType = UNSET


def named_key(line: bytes) -> tuple[str, str] | None:
    """The member of `line` that has a key by name, and the key as `@NAME`; None if none has."""
    if b'"@' not in line:
        return None
    try:
        keys = msgspec.json.decode(line, type=_Keys)
        for member in _Keys.__struct_fields__:
            raw = getattr(keys, member)
            value = None if raw is UNSET else msgspec.json.decode(raw)
            if isinstance(value, str) and value.startswith("@"):
                return member, value
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    return None


def with_member(line: bytes, member: str, value: str) -> bytes:
    """`line`, a JSON object, with another `value` of `member`; all others stay to the letter."""
    members = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    return msgspec.json.encode({**members, member: value})


def with_key(line: bytes, name: str, key: str) -> bytes:
    """`line` with the member `name` in front, unless it has a key; what is no object stays as is.

    Nothing else in it is touched, not even what is wrong with it.
    """
    try:
        keys = msgspec.json.decode(line, type=_Keys)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return line
    if keys.routing_key is not UNSET or keys.service_key is not UNSET:
        return line
    inside = line.lstrip()[1:]
    comma = b"" if inside.lstrip().startswith(b"}") else b","
    return b'{"%b":%b%b%b' % (name.encode(), msgspec.json.encode(key), comma, inside)
