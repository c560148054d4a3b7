"""What the commands under `queue` have in common: how they are told which queue, which events."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import IO, TypeVar

import click
import msgspec

from pdagent.cli.parameters import text

_LONGEST_LINE = 16 << 20  # bytes; an event is far shorter even with a long history

state_option = click.option(
    "--state",
    "states",
    type=text,
    metavar="STATE[,STATE]",
    help="queued, in_flight, deferred (waiting: these three), dead_lettered, delivered, discarded.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the agent's JSON.")
show_keys_option = click.option(
    "--show-keys", is_flag=True, help="Show whole routing keys without a name: credentials."
)


_Command = TypeVar("_Command", bound=Callable[..., object])


def event_id(value: str) -> str:
    """An id, or the beginning of one."""
    word = value.strip()
    if not word:
        raise click.BadParameter("It is empty: give an event's id, or the beginning of it.")
    if not (word.isascii() and word.isprintable()):
        raise click.BadParameter(f"{word!r} is no event's id.")
    return word


ids_argument = click.argument("ids", nargs=-1, type=event_id, metavar="[ID|-]...")


def _queue(value: str) -> str:
    # An empty variable of a shell must not come to mean all queues.
    if not value.strip():
        raise click.BadParameter("It is empty: name one key.")
    return text(value.strip())


def routing_key_option(*, required: bool = False) -> Callable[[_Command], _Command]:
    """`-k`, for one queue."""
    return click.option(
        "-k",
        "--routing-key",
        type=_queue,
        required=required,
        metavar="KEY|@NAME",
        help="The queue of this key: whole, as tables show it, or @NAME of one in the config.",
    )


def ids_of(given: Sequence[str]) -> list[str]:
    """The ids given, each once; `-` stands for the lines of standard input.

    Raises:
        click.UsageError: Standard input can't be read, or isn't what it should be.
    """
    ids: list[str] = []
    for word in given:
        if word == "-":
            if sys.stdin is None:
                raise click.UsageError("Can't read standard input: it is closed.")
            ids += _lines_of(sys.stdin.buffer)
        else:
            ids.append(word)
    return list(dict.fromkeys(ids))


def _lines_of(stream: IO[bytes]) -> Iterator[str]:
    """An id a line, bare or as JSON text, or an object with `id`: what `queue list` prints."""
    number = 0
    while line := stream.readline(_LONGEST_LINE):
        number += 1
        found = None if len(line) == _LONGEST_LINE else _id_in(line.strip())
        if found is None:
            raise click.UsageError(
                f"Line {number} of standard input is no id: give one a line, or the lines of "
                "'pagerduty-agent queue list --json'."
            )
        if found:
            yield found


def _id_in(line: bytes) -> str | None:
    if not line.startswith((b"{", b'"')):
        word = line.decode("ascii", "replace")
        return word if word.replace("-", "").isalnum() or not word else None
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if isinstance(found, dict):
        found = found.get("id")
    return found if isinstance(found, str) else None
