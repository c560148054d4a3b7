"""JSON whose values stay the bytes that the client sent.

Decoding to Python values and back would change them: `1e400`, long integers, `1.0` in another
spelling and repeated names would not survive.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Raw

MAX_DEPTH = 256
"""Deepest nesting of objects and lists that is accepted; JSON parsers take about 1,000."""

TOO_DEEP = f"the body: is nested deeper than {MAX_DEPTH} levels"
EMPTY = "the body: is empty, it takes a JSON object"
LATIN_1 = "the body: is not UTF-8, read as Latin-1"
HALF_CHARACTERS = "the body: has half characters (lone surrogates), replaced by U+FFFD"

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ROUND = bytes.maketrans(b"{}[]", b"()()")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))
# A pair of surrogates, one on its own, or any other escape, so that `\\ud83d` is not one.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)
_KINDS = {
    ord("{"): "an object",
    ord("["): "a list",
    ord('"'): "text",
    ord("t"): "true",
    ord("f"): "false",
    ord("n"): "null",
}

Members = dict[str, Raw]
"""The members of one JSON object in their order, each value as it was written."""


class MalformedJsonError(Exception):
    """Not JSON at all, or deeper than `MAX_DEPTH`; the text is a sentence for the sender."""


_members = msgspec.json.Decoder(Members)
_items = msgspec.json.Decoder(list[Raw])
_text = msgspec.json.Decoder(str)
_encoder = msgspec.json.Encoder()


def read(body: bytes) -> tuple[Members, tuple[str, ...]]:
    """Return the members of a JSON object from outside, and a warning for each repair.

    A byte order mark is dropped. What is not UTF-8 is read as
    Latin-1. Half characters, which no valid UTF-8 has, become U+FFFD. Of members with the same name
    the last one counts, as in every common parser. Raises `MalformedJsonError`.
    """
    body = body.removeprefix(BYTE_ORDER_MARK)
    warnings: tuple[str, ...] = ()
    try:
        if not body.isascii():
            body.decode()
    except UnicodeDecodeError:
        body, warning = _as_utf_8(body)
        warnings = (warning,)
    try:
        found = _decoded(body)
    except MalformedJsonError:
        mended = _ESCAPE.sub(lambda escape: rb"\ufffd" if escape["half"] else escape[0], body)
        if mended == body:
            raise
        body, found = mended, _decoded(mended)
        warnings = (*warnings, HALF_CHARACTERS)
    _check_depth(body)
    return found, warnings


def members(value: Raw | bytes) -> Members:
    """Take a JSON object apart; of members with one name the last wins."""
    return _members.decode(value)


def items(value: Raw | bytes) -> list[Raw]:
    """Take a JSON list apart."""
    return _items.decode(value)


def text(value: Raw | bytes) -> str | None:
    """Read a JSON string; None if `value` is no string."""
    try:
        return _text.decode(value)
    except msgspec.ValidationError:
        return None


def as_text(value: Raw) -> str:
    """Return text as it reads, null as nothing, any other value as it was written."""
    if (found := text(value)) is not None:
        return found
    return "" if is_null(value) else bytes(value).decode()


def is_null(value: Raw) -> bool:
    """Whether a JSON value is null."""
    return len(value) == 4 and bytes(value) == b"null"


def write(value: Mapping[str, Raw] | Sequence[Raw] | Mapping[str, str] | str) -> bytes:
    """Write JSON without white space; raw values are copied."""
    return _encoder.encode(value)


def raw(value: Mapping[str, Raw] | Sequence[Raw] | Mapping[str, str] | str) -> Raw:
    """Write `value` as a member for another object."""
    return Raw(_encoder.encode(value))


def kind_of(value: Raw) -> str:
    """Say in words what a JSON value is: "an object", "text", "a number", "null" and so on.

    `value` must not begin with white space; members and items never do.
    """
    return _KINDS.get(memoryview(value)[0], "a number")


def _as_utf_8(body: bytes) -> tuple[bytes, str]:
    try:
        halves = body.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return body.decode("latin-1").encode(), LATIN_1
    # Two halves next to each other are a character (CESU-8).
    return halves.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode(), (
        HALF_CHARACTERS
    )


def _decoded(body: bytes) -> Members:
    try:
        return _members.decode(body)
    except RecursionError:
        raise MalformedJsonError(TOO_DEEP) from None
    except msgspec.ValidationError:
        kind = kind_of(Raw(body.lstrip()))
        raise MalformedJsonError(f"the body: is {kind}, it takes a JSON object") from None
    except msgspec.DecodeError:
        if not body.strip():
            raise MalformedJsonError(EMPTY) from None
        raise MalformedJsonError(f"the body: is not JSON: {_why_not_json(body)}") from None


def _check_depth(body: bytes) -> None:
    """Raise `MalformedJsonError` if `body`, which is JSON, is nested deeper than `MAX_DEPTH`.

    The parser's own limit depends on how deep the caller's stack is; what is accepted now has to
    be readable later, in another thread.
    """
    if body.count(b"{") + body.count(b"[") <= MAX_DEPTH:
        return
    # With the escapes gone every quotation mark begins or ends a string.
    quoted = body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
    brackets = b"".join(quoted[::2]).translate(_ROUND, delete=_NOT_BRACKETS)
    for _ in range(MAX_DEPTH):
        # Each pass takes away the innermost pairs, that is one level.
        brackets = brackets.replace(b"()", b"")
    if brackets:
        raise MalformedJsonError(TOO_DEEP)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON number")


# Numbers become floats because Python refuses to make an int of more than 4,300 digits.
_tolerant = json.JSONDecoder(parse_int=float, parse_constant=_refuse_constant)


def _why_not_json(body: bytes) -> str:
    """Explain it with line and column; msgspec counts bytes."""
    try:
        _tolerant.decode(body.decode())
    except json.JSONDecodeError as error:
        return f"{error.msg.rstrip(': ').lower()} (line {error.lineno}, column {error.colno})"
    except RecursionError:
        return "it is broken and nested too deeply to say where"
    except ValueError as error:
        return str(error)
    return "a \\u escape stands for half a character (a lone surrogate)"
