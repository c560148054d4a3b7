"""The kinds of values that options of event commands take."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import click

from pdagent.cli.failures import say

if TYPE_CHECKING:
    import msgspec

# PagerDuty takes no more for a whole event; details beyond it can only be a mistake.
_LARGEST_DETAILS = 512_000
# Each parameter of a URL's query keeps its own '='; the first '=' beyond that begins the text.
_LINK = re.compile(
    r"(?P<href>[^=?#]*(?:[?#](?:[^=&]*(?:=[^=&]*)?&)*[^=&]*(?:=[^=&]*)?)?)(?:=(?P<text>.*))?",
    re.DOTALL,
)


class Link(NamedTuple):
    """A link of an alert: where it leads, and what it is called (None: nothing given)."""

    href: str
    text: str | None


class Image(NamedTuple):
    """An image of an alert: its source, where a click leads, and its text."""

    src: str
    href: str | None
    alt: str | None


def _repaired(value: str) -> str:
    # Bytes that aren't of the locale's encoding reach Python as lone surrogates, which JSON can't
    # carry: all but ASCII in some locales. An alert with a wrong letter is better than no alert.
    given = value.encode("utf-8", "surrogateescape")
    try:
        return given.decode()
    except UnicodeDecodeError:
        say("warning", "a text isn't UTF-8: what can't be read in it was replaced")
        return given.decode("utf-8", "replace")


def text(value: str) -> str:
    """Text for an event; bytes that aren't UTF-8 become U+FFFD."""
    return _repaired(value)


def field(value: str) -> tuple[str, str]:
    """`KEY=VALUE`, split at the first `=`; the value may be empty or contain `=`."""
    whole = _repaired(value)
    key, equals, content = whole.partition("=")
    if not key or not equals:
        raise click.BadParameter(f"{whole!r} is not of the form KEY=VALUE.")
    return key, content


def link(value: str) -> Link:
    """`HREF` or `HREF=TEXT`; a text made of nothing but `=` belongs to the address."""
    whole = _repaired(value)
    match = _LINK.fullmatch(whole)
    if match is None or match["text"] is None or not match["text"].strip("="):
        return Link(whole, None)
    return Link(match["href"], match["text"])


def image(value: str) -> Image:
    """`SRC`, `SRC,HREF` or `SRC,HREF,ALT`; an empty part counts as not given."""
    src, href, alt, *_ = [*_repaired(value).split(",", 2), "", ""]
    return Image(src, href or None, alt or None)


def json_file(value: str) -> dict[str, msgspec.Raw]:
    """The members of the JSON object in a file, or in standard input for `-`.

    Each stays exactly as it was written: 1.10 stays 1.10.
    """
    # Commands without such a file do without the import.
    from pdagent.events import rawjson

    name = "standard input" if value == "-" else value
    try:
        with click.open_file(value, "rb") as file:
            data = file.read(_LARGEST_DETAILS + 1)
    except (OSError, RuntimeError) as error:
        # click says with a RuntimeError that the process was started without standard input.
        reason = error.strerror if isinstance(error, OSError) else "it is closed"
        raise click.BadParameter(f"can't read {name}: {reason}.") from None
    if len(data) > _LARGEST_DETAILS:
        raise click.BadParameter(f"{name} is larger than {_LARGEST_DETAILS} bytes.")
    try:
        members, warnings = rawjson.read(data)
    except rawjson.MalformedJsonError as error:
        raise click.BadParameter(f"{name} {str(error).removeprefix('the body: ')}.") from None
    for warning in warnings:
        say("warning", f"{name} {warning.removeprefix('the body: ')}")
    return members
