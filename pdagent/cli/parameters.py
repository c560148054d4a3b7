"""The options that event commands share, and the kinds of values that they take."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, NamedTuple, TypeVar

import click

from pdagent.cli.completion import names_of_keys
from pdagent.cli.output import say
from pdagent.integrations.event import short_key

if TYPE_CHECKING:
    import msgspec

_Command = TypeVar("_Command", bound=Callable[..., object])

# PagerDuty takes no more for a whole event; details beyond it can only be a mistake.
_LARGEST_DETAILS = 512_000
# Each parameter of a URL's query keeps its own '='; the first '=' beyond that begins the text.
_LINK = (
    r"(?s)(?P<href>[^=?#]*(?:[?#](?:[^=&]*(?:=[^=&]*)?&)*[^=&]*(?:=[^=&]*)?)?)"
    r"(?:=(?P<text>.*))?"
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


def text(value: str) -> str:
    """Text for an event; bytes that aren't UTF-8 become U+FFFD."""
    # Bytes that aren't of the locale's encoding reach Python as lone surrogates, which JSON can't
    # carry: all but ASCII in some locales. An alert with a wrong letter is better than no alert.
    given = value.encode("utf-8", "surrogateescape")
    try:
        return given.decode()
    except UnicodeDecodeError:
        say("warning", "a text isn't UTF-8: what can't be read in it was replaced")
        return given.decode("utf-8", "replace")


def alert_key(value: str) -> str:
    """An incident or dedup key; one that is too long for PagerDuty is shortened, with a hash."""
    return short_key(text(value))


def field(value: str) -> tuple[str, str]:
    """`KEY=VALUE`, split at the first `=`; the value may be empty or contain `=`."""
    whole = text(value)
    key, equals, content = whole.partition("=")
    if not key or not equals:
        raise click.BadParameter(f"{whole!r} is not of the form KEY=VALUE.")
    return key, content


def duration(value: str) -> float:
    """A time such as `90m`, `45s` or a number of seconds; in seconds."""
    from pdagent.config.values import seconds_of

    try:
        return seconds_of(value)
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is not a time such as 24h, 90m or 45s, or a number of seconds from 1 on."
        ) from None


def duration_or_never(value: str) -> float | str:
    """As `duration`, or `never`."""
    return "never" if value.strip().lower() == "never" else duration(value)


def link(value: str) -> Link:
    """`HREF` or `HREF=TEXT`; a text made of nothing but `=` belongs to the address."""
    whole = text(value)
    match = re.fullmatch(_LINK, whole)
    if match is None or match["text"] is None or not match["text"].strip("="):
        return Link(whole, None)
    return Link(match["href"], match["text"])


def image(value: str) -> Image:
    """`SRC`, `SRC,HREF` or `SRC,HREF,ALT`; an empty part counts as not given."""
    src, href, alt, *_ = [*text(value).split(",", 2), "", ""]
    return Image(src, href or None, alt or None)


def opened(source: str) -> IO[bytes]:
    """The file `source`, or standard input for `-`, to use with `with`. Raises `BadParameter`."""
    try:
        return click.open_file(source, "rb")
    except (OSError, RuntimeError, ValueError) as error:
        # click raises a RuntimeError if standard input is closed, Python a ValueError for a NUL.
        name, why = ("standard input", "it is closed") if source == "-" else (source, "not a path")
        reason = getattr(error, "strerror", None) or why
        raise click.BadParameter(f"can't read {name}: {reason}.") from None


def json_file(value: str) -> dict[str, msgspec.Raw]:
    """The members of the JSON object in a file, or in standard input for `-`.

    Each stays exactly as it was written: 1.10 stays 1.10.
    """
    # Commands without such a file do without the import.
    from pdagent.events import rawjson

    name = "standard input" if value == "-" else value
    with opened(value) as file:
        data = file.read(_LARGEST_DETAILS + 1)
    if len(data) > _LARGEST_DETAILS:
        raise click.BadParameter(f"{name} is larger than {_LARGEST_DETAILS} bytes.")
    try:
        members, warnings = rawjson.read(data)
    except rawjson.MalformedJsonError as error:
        raise click.BadParameter(f"{name} {str(error).removeprefix('the body: ')}.") from None
    for warning in warnings:
        say("warning", f"{name} {warning.removeprefix('the body: ')}")
    return members


def key_option(*names: str) -> Callable[[_Command], _Command]:
    """`-k`, with the longer `names` that the command gives it."""
    return click.option(
        "-k",
        *names,
        type=text,
        shell_complete=names_of_keys,
        help="Integration key, or @NAME of one in the config (a key here shows in process lists). "
        "Needed without --batch.",
    )


timestamp_option = click.option(
    "--timestamp", type=text, help="When it happened (ISO 8601); the time of acceptance if missing."
)
at_option = click.option(
    "--at",
    type=text,
    metavar="TIME",
    help="When it happened (seconds since 1970, or ISO 8601), for the order of events that are "
    "sent at the same time; if missing, the start of this command.",
)


def _fields(kind: Callable[[str], object]) -> Callable[[_Command], _Command]:
    return click.option(
        "-f",
        "--field",
        "fields",
        type=kind,
        metavar="KEY=VALUE",
        multiple=True,
        help="A detail; may be repeated.",
    )


field_option = _fields(field)
lenient_field_option = _fields(text)
"""For commands that nobody repeats: what is not of this form costs a warning, not the event."""
details_option = click.option(
    "--details-json",
    type=json_file,
    metavar="FILE|-",
    help="Details as a JSON object; -f overrides its members.",
)
link_option = click.option(
    "--link",
    "links",
    type=link,
    metavar="HREF[=TEXT]",
    multiple=True,
    help="A link; may be repeated. In a query each parameter keeps its own '='.",
)

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the agent's answer as JSON."
)
show_keys_option = click.option(
    "--show-keys", is_flag=True, help="Show whole routing keys without a name: credentials."
)


def receipt_options(command: _Command) -> _Command:
    """`--json` and `--quiet`: `receipt` is `json`, `quiet`, or None for a sentence."""
    for option in (
        click.option("-q", "--quiet", "receipt", flag_value="quiet", help="Print no receipt."),
        click.option("--json", "receipt", flag_value="json", help="Print the receipt as JSON."),
    ):
        command = option(command)
    return command
