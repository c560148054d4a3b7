"""What PagerDuty says about an answer, made fit for logs, tables and the journal."""

from __future__ import annotations

import re
import unicodedata

import msgspec

from pdagent.masking import without_keys

MAX_CHARACTERS = 500
"""Longest detail of a verdict, in characters."""

_BLANKS = re.compile(r"\s+")


def presentable(text: str) -> str:
    """`text` on one line: no control characters, keys masked, at most 500 characters.

    Control and format characters go first (they could split a key in two), then keys are masked,
    and only then is the text cut, since a key cut short would no longer be recognised.
    """
    shown = "".join(
        character
        for character in _BLANKS.sub(" ", text)
        if not unicodedata.category(character).startswith("C")
    ).strip()
    masked = without_keys(shown)
    return masked if len(masked) <= MAX_CHARACTERS else masked[: MAX_CHARACTERS - 1] + "…"


def explanation(body: bytes) -> str:
    """The `message` and `errors` of PagerDuty's JSON answer, joined; empty if there are none.

    Other answers (a gateway's page, half a document) come to nothing: they may quote the event.
    """
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ""
    if not isinstance(answer, dict):
        return ""
    message, errors = answer.get("message"), answer.get("errors")
    said = [message] if isinstance(message, str) and message else []
    listed = errors if isinstance(errors, list) else [errors]
    named = "; ".join(error for error in listed if isinstance(error, str) and error)
    return presentable(": ".join([*said, named] if named else said))
