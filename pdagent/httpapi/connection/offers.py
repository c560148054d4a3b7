"""Offers of another protocol (h2c, WebSocket), which nobody has to take up."""

from __future__ import annotations

from collections.abc import Iterable

_OFFERS = (b"upgrade", b"http2-settings")


def without_offer(start: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A request's head from its first line and its headers (lower-case names), less any offer."""
    lines = [start]
    for name, value in headers:
        if name == b"connection":
            options = value.split(b",")
            value = b",".join(each for each in options if each.strip().lower() not in _OFFERS)
        if name not in _OFFERS:
            lines.append(b"%b: %b" % (name, value))
    return b"\r\n".join([*lines, b"", b""])
