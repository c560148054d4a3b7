"""Texts for people: ages, counts, likely corrections, and text from outside on one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

_UNITS = (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1))
_MOST_RANGES = 5


def age(since: datetime | None, now: datetime) -> str:
    """The time from `since` to `now` in its two largest units, such as `3m05s`; `-` for None."""
    return "-" if since is None else duration((now - since).total_seconds())


def duration(seconds: float) -> str:
    """`seconds` in their two largest units; fewer than none count as none."""
    whole = max(0, int(seconds))
    for unit, length, smaller, rest in _UNITS:
        if whole >= length:
            return f"{whole // length}{unit}{whole % length // rest:02d}{smaller}"
    return f"{whole}s"


def counted(count: int, thing: str) -> str:
    """`1 event`, `2 events`."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def ranges(lines: Sequence[int]) -> str:
    """Ascending numbers of lines: `line 6`, `lines 2, 6 to 9`; of many ranges the first few."""
    found: list[list[int]] = []
    for line in lines:
        if found and line == found[-1][1] + 1:
            found[-1][1] = line
        else:
            found.append([line, line])
    texts = [f"{a}" if a == b else f"{a} to {b}" for a, b in found[:_MOST_RANGES]]
    more = f" and others up to {lines[-1]}" if found[_MOST_RANGES:] else ""
    return f"{'line' if len(lines) == 1 else 'lines'} {', '.join(texts)}{more}"


def one_line(text: str) -> str:
    """Text from outside, without line ends and control characters of terminals."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Which of `known` was probably meant by `word`; the higher `cutoff` (0 to 1), the surer."""
    from difflib import get_close_matches  # a sixth of a fast command's time, for errors only

    return next(iter(get_close_matches(word.lower(), list(known), 1, cutoff)), None)
