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
"""Deepest nesting of objects and lists that is taken; JSON parsers stand about 1,000."""

TOO_DEEP = f"the body: is nested deeper than {MAX_DEPTH} levels"

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ROUND = bytes.maketrans(b"{}[]", b"()()")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))
# The first alternative keeps what follows a backslash from being taken for an escape.
_ESCAPE = re.compile(rb"\\[^u]|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[0-9a-fA-F]{4}|\\u[0-9a-fA-F]{4}")
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


class _Name:
    """A member's name. No two are equal, so that members of one name all stay in a dict."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def _make_name(_type: type, text: str) -> _Name:
    return _Name(text)


_members = msgspec.json.Decoder(Members)
_named_members = msgspec.json.Decoder(dict[_Name, Raw], dec_hook=_make_name)
_items = msgspec.json.Decoder(list[Raw])
_text = msgspec.json.Decoder(str)
_encoder = msgspec.json.Encoder()


def members(value: Raw | bytes) -> Members:
    """Take a JSON object apart; of members with one name the last wins."""
    return _members.decode(value)


def all_members(value: Raw | bytes) -> list[tuple[str, Raw]]:
    """Take a JSON object apart, members with one name included."""
    return [(name.text, member) for name, member in _named_members.decode(value).items()]


def items(value: Raw | bytes) -> list[Raw]:
    """Take a JSON list apart."""
    return _items.decode(value)


def text(value: Raw | bytes) -> str:
    """Read a JSON string."""
    return _text.decode(value)


def write(value: Mapping[str, Raw] | Sequence[Raw] | Mapping[str, str] | str) -> bytes:
    """Write JSON without white space; raw values are copied."""
    return _encoder.encode(value)


def raw(value: Mapping[str, Raw] | Sequence[Raw] | Mapping[str, str] | str) -> Raw:
    """Write `value` as a member for another object."""
    return Raw(_encoder.encode(value))


def kind_of(value: Raw) -> str:
    """Say in words what a JSON value is: "an object", "text", "a number", "null" and so on."""
    return _KINDS.get(memoryview(value)[0], "a number")


def without_byte_order_mark(body: bytes) -> bytes:
    """Drop the mark that some programs on Windows put before UTF-8; it isn't part of the JSON."""
    return body.removeprefix(_BYTE_ORDER_MARK)


def check_encoding(body: bytes) -> str:
    """Return `body` as text; raise `MalformedJsonError` if it is not UTF-8."""
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise MalformedJsonError(f"the body: is not UTF-8 text (byte {error.start})") from None


def check_object(body: bytes) -> None:
    """Raise `MalformedJsonError` unless `body`, which is UTF-8, is one well-formed JSON object."""
    if not body.strip():
        raise MalformedJsonError("the body: is empty, it takes a JSON object")
    try:
        value = msgspec.json.decode(body, type=Raw)
        if kind_of(value) != "an object":
            raise MalformedJsonError(f"the body: is {kind_of(value)}, it takes a JSON object")
        _members.decode(body)
    except RecursionError:
        raise MalformedJsonError(TOO_DEEP) from None
    except msgspec.DecodeError:
        raise MalformedJsonError(f"the body: is not JSON: {_why_not_json(body)}") from None
    check_depth(body)


def check_depth(body: bytes) -> None:
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


def compact(value: Raw | bytes) -> bytes:
    """Return JSON without its white space; everything else keeps its spelling."""
    return msgspec.json.format(value, indent=-1)


def without_needless_escapes(value: Raw | bytes) -> bytes:
    """Return JSON whose texts have the characters beyond ASCII themselves, not as `\\u00e9`."""
    return _ESCAPE.sub(_unescaped, bytes(value))


def _unescaped(escape: re.Match[bytes]) -> bytes:
    spelled = escape[0]
    if not spelled.startswith(b"\\u"):
        return spelled
    character = text(b'"%b"' % spelled)
    return spelled if character.isascii() else character.encode()


def leaves_room(members: Members, value: Raw | bytes) -> bool:
    """Whether `value`, a compact JSON object, may have more in it than its `members`.

    Members of one name are one in `Members`. Written in the shortest way, they are as long as
    `value` if that is all there is. True as well for names with needless escapes.
    """
    return len(write(members)) != len(value)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON number")


# Numbers become floats because Python refuses to make an int of more than 4,300 digits.
_tolerant = json.JSONDecoder(parse_int=float, parse_constant=_refuse_constant)


def _why_not_json(body: bytes) -> str:
    """Explain better than msgspec, which counts bytes and calls half a surrogate "truncated"."""
    try:
        _tolerant.decode(body.decode())
    except json.JSONDecodeError as error:
        return f"{error.msg.rstrip(': ').lower()} (line {error.lineno}, column {error.colno})"
    except RecursionError:
        return "it is broken and nested too deeply to say where"
    except ValueError as error:
        return str(error)
    return "a \\u escape stands for half a character (a lone surrogate)"
