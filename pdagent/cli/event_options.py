"""Options that commands for single events have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from pdagent.cli.parameters import field, json_file, link, text

_Command = TypeVar("_Command", bound=Callable[..., object])


def key_option(*names: str) -> Callable[[_Command], _Command]:
    """`-k`, with the longer `names` that the command gives it."""
    return click.option(
        "-k",
        *names,
        type=text,
        help="Integration key, or @NAME of one in the config (a key here shows in process lists). "
        "Needed without --batch.",
    )


timestamp_option = click.option(
    "--timestamp", type=text, help="When it happened (ISO 8601); the time of acceptance if missing."
)
field_option = click.option(
    "-f",
    "--field",
    "fields",
    type=field,
    metavar="KEY=VALUE",
    multiple=True,
    help="A detail; may be repeated.",
)
details_option = click.option(
    "--details-json",
    type=json_file,
    metavar="FILE|-",
    help="Details as a JSON object; -f goes on top.",
)
link_option = click.option(
    "--link",
    "links",
    type=link,
    metavar="HREF[=TEXT]",
    multiple=True,
    help="A link; may be repeated. In a query each parameter keeps its own '='.",
)


def receipt_options(command: _Command) -> _Command:
    """`--json` and `--quiet`: `receipt` is `json`, `quiet`, or None for a sentence."""
    for option in (
        click.option("-q", "--quiet", "receipt", flag_value="quiet", help="Print no receipt."),
        click.option("--json", "receipt", flag_value="json", help="Print the receipt as JSON."),
    ):
        command = option(command)
    return command
