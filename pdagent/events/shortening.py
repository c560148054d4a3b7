"""Cutting text without breaking what a reader sees as one character."""

from __future__ import annotations

import unicodedata

ELLIPSIS = "…"

_ZERO_WIDTH_JOINER = "\u200d"

# A family emoji with skin tones has about twenty code points. Behind that the text is a stack of
# marks made to annoy, and is cut where it has to be.
_LONGEST_CHARACTER = 32


def shorten(text: str, limit: int) -> str:
    """Return `text` cut to at most `limit` code points, the last of them an ellipsis.

    Text that fits comes back as it is. The cut falls between user-perceived characters: accents,
    emoji sequences, flags and line ends stay whole or go, so the result may be a few code points
    shorter than `limit`.
    """
    if len(text) <= limit:
        return text
    return text[: boundary_before(text, limit - 1)] + ELLIPSIS


def boundary_before(text: str, position: int) -> int:
    """Return the last place up to `position` where `text` can be cut between two characters."""
    for place in range(position, max(position - _LONGEST_CHARACTER, 0), -1):
        if place >= len(text) or not _belong_together(text, place):
            return place
    return position if position > _LONGEST_CHARACTER else 0


def _belong_together(text: str, place: int) -> bool:
    """Whether a cut at `place` would go through one visible character (after Unicode's UAX 29)."""
    before, after = text[place - 1], text[place]
    if after < "\u0300":
        return before == "\r" and after == "\n"
    if before == _ZERO_WIDTH_JOINER or _extends(after):
        return True
    if not (_is_flag_half(before) and _is_flag_half(after)):
        return False
    return _flag_halves_before(text, place) % 2 == 1


def _extends(character: str) -> bool:
    """Marks, joiners, skin tones and emoji tags: they change the character before them."""
    return (
        unicodedata.category(character) in ("Mn", "Me", "Mc")
        or character in ("\u200c", _ZERO_WIDTH_JOINER)
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or "\U000e0020" <= character <= "\U000e007f"
    )


def _is_flag_half(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _flag_halves_before(text: str, place: int) -> int:
    start = place
    while start > 0 and _is_flag_half(text[start - 1]):
        start -= 1
    return place - start
