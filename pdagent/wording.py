"""How commands put things for people: ages, counts, and text from outside on one line."""

from __future__ import annotations

from datetime import datetime

_UNITS = (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1))


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


def one_line(text: str) -> str:
    """Text from outside, without line ends and without what could steer a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
