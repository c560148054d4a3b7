"""What PagerDuty says about an answer, made fit for logs, tables and the journal."""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Any

import msgspec

from pdagent.masking import without_keys

MAX_CHARACTERS = 500
"""Longest detail of a verdict, in characters."""

MAX_TITLE = 80
"""Longest title of a page, in characters."""

_HEAD_BYTES = 16_384

_BLANKS = re.compile(r"\s+")
# A byte order mark and white space may come first; a page may also have something before its tag.
_PAGE = re.compile(rb"[\s\0\xef\xbb\xbf\xfe\xff]*<|.{0,1000}<(?:html|!doctype html)\b", re.I | re.S)
_TITLE = re.compile(r"<title\b[^>]{0,200}>(.{0,1000}?)</title", re.I | re.S)


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


def json_object(body: bytes) -> dict[str, Any] | None:
    """The JSON object that `body` is, as all of PagerDuty's answers are; None if it is none."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def html_page(body: bytes) -> str | None:
    """What to call the HTML (or XML) page that `body` is: its title, or empty; None if it is none.

    Such a page comes from a proxy, a captive portal or a load balancer, never from PagerDuty's API.
    """
    if not _PAGE.match(body):
        return None
    head = body[:_HEAD_BYTES].replace(b"\0", b"").decode("utf-8", "replace")
    title = _TITLE.search(head)
    shown = presentable(html.unescape(title[1])) if title else ""
    return shown if len(shown) <= MAX_TITLE else shown[: MAX_TITLE - 1] + "…"


def described(answer: dict[str, Any] | None, body: bytes) -> str:
    """The `message` and `errors` of PagerDuty's JSON (`answer`), joined, or which page `body` is.

    For any other `body` an empty text: it might quote the event.
    """
    if answer is None:
        page = html_page(body)
        if page is None:
            return ""
        return f"not PagerDuty: HTML page '{page}'" if page else "not PagerDuty: HTML page"
    message, errors = answer.get("message"), answer.get("errors")
    listed = errors if isinstance(errors, list) else [errors]
    said = [message] if isinstance(message, str) and message and message not in listed else []
    named = "; ".join(error for error in listed if isinstance(error, str) and error)
    return presentable(": ".join([*said, named] if named else said))
