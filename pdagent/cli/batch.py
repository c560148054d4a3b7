"""`--batch` of the event commands: its options, and what may be given with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import click
from click.core import ParameterSource

from pdagent.cli.session import Session

if TYPE_CHECKING:
    from pdagent.events import EventKind

_Command = TypeVar("_Command", bound=Callable[..., object])

_ALONGSIDE = frozenset(("batch", "routing_key", "idempotency_key", "receipt"))


def _header(value: str) -> str:
    if not (value.isascii() and value.isprintable() and 0 < len(value) <= 255):
        raise click.BadParameter("1 to 255 printable ASCII characters are allowed.")
    return value


def batch_options(command: _Command) -> _Command:
    """Add `--batch` and `--idempotency-key` to a command."""
    for option in (
        click.option(
            "--idempotency-key",
            type=_header,
            metavar="TEXT",
            help="Sent again with the same one, nothing is stored twice.",
        ),
        click.option(
            "--batch",
            metavar="FILE|-",
            help="Take whole events, one JSON object a line; -k is for lines without a key. "
            "A line's key may be @NAME.",
        ),
    ):
        command = option(command)
    return command


def hand_over_batch(
    context: click.Context, session: Session, kind: EventKind, *, needed: Sequence[str]
) -> None:
    """Carry out `--batch` and exit; without it only check that the parameters `needed` are there.

    Raises:
        click.UsageError: One is missing, or others than `--batch` takes were given with it.
        CommandFailed: Not all lines were stored.
    """
    given = context.params
    if given["batch"] is None:
        for parameter in context.command.params:
            if parameter.name in needed and given[parameter.name] is None:
                raise click.MissingParameter(ctx=context, param=parameter)
        return
    surplus = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in _ALONGSIDE
        and context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
    ]
    if surplus:
        raise click.UsageError(f"--batch takes whole events: leave out {', '.join(surplus)}")
    # Only here: it costs more to load than all that a single event needs of this module.
    from pdagent.cli.handing_over import HandOver

    run = HandOver(
        session,
        kind,
        routing_key=given["routing_key"],
        idempotency_key=given["idempotency_key"],
        receipt=given["receipt"],
    )
    run.hand_over(given["batch"])
    context.exit()
