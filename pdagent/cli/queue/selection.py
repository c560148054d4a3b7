"""How the commands under `queue` name a queue or events, and the errors if there are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TypeVar

import click
import msgspec

from pdagent.cli.completion import ids_of_events, names_of_keys, states_of_events
from pdagent.cli.output import CommandFailed
from pdagent.cli.parameters import opened, text
from pdagent.cli.session import Session
from pdagent.localclient import LocalClient
from pdagent.localclient.errors import Refused
from pdagent.masking import is_routing_key, mask
from pdagent.wording import nearest

_Command = TypeVar("_Command", bound=Callable[..., object])
_NOT_FOUND, _NOT_CLEAR = 404, 409
_LONGEST_LINE = 16 << 20  # bytes; an event is far shorter even with a long history

state_option = click.option(
    "--state",
    "states",
    type=text,
    metavar="STATE[,STATE]",
    shell_complete=states_of_events,
    help="queued, in_flight, deferred (waiting: these three), dead_lettered, delivered, discarded.",
)


def event_id(value: str) -> str:
    """An id, or a part of one."""
    word = value.strip()
    if not word:
        raise click.BadParameter("It is empty: give an event's id, or a part of it.")
    if not (word.isascii() and word.isprintable()):
        raise click.BadParameter(f"{word!r} is no event's id.")
    return word


ids_argument = click.argument(
    "ids", nargs=-1, type=event_id, metavar="[ID|-]...", shell_complete=ids_of_events
)


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
        shell_complete=names_of_keys,
        help="The queue of this key: whole, as tables show it, or @NAME of one in the config.",
    )


def ids_of(given: Sequence[str]) -> list[str]:
    """The ids given, each once; `-` means the lines of standard input.

    Raises:
        click.UsageError: Standard input can't be read, or isn't what it should be.
    """
    ids: list[str] = []
    for word in given:
        if word == "-":
            with opened(word) as stream:
                ids += _lines_of(stream)
        else:
            ids.append(word)
    return list(dict.fromkeys(ids))


def _lines_of(stream: IO[bytes]) -> Iterator[str]:
    """Ids, one per line: bare, as JSON text, or an object with `id` as `queue list` prints it."""
    number = 0
    while line := stream.readline(_LONGEST_LINE):
        number += 1
        found = None if len(line) == _LONGEST_LINE else _id_in(line.strip())
        if found is None:
            raise click.UsageError(
                f"Line {number} of standard input is no id: give one per line, or the lines of "
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


def key_of(session: Session, given: str | None) -> str | None:
    """The routing key if it is known here, else a name or mask that the agent may know.

    None if nothing was given.
    """
    if not given:
        return None
    return session.loaded.config.routing_keys.get(given) or session.routing_key(given)


def refuse_unknown(client: LocalClient, session: Session, given: str | None) -> None:
    """Refuse a queue that neither the agent nor the config knows.

    Raises:
        CommandFailed: It is unknown; a similar name is suggested.
    """
    key = key_of(session, given)
    if given is None or key is None or key in session.loaded.config.routing_keys.values():
        return
    if not client.queues(key):
        raise _unknown(session, given)


@contextmanager
def about_queue(session: Session, given: str | None) -> Iterator[None]:
    """Explain the agent's refusal of a queue that is unknown or ambiguous.

    Raises:
        CommandFailed: No queue, or more than one, matches.
    """
    try:
        yield
    except Refused as error:
        key = key_of(session, given)
        if given is None or key is None or key in session.loaded.config.routing_keys.values():
            raise
        if error.status == _NOT_FOUND:
            raise _unknown(session, given) from None
        if error.status == _NOT_CLEAR and not is_routing_key(key):
            raise CommandFailed(
                f"several routing keys look like {given!r}: give the whole key with -k, or give "
                "them names (routing_keys in the config)"
            ) from None
        raise


def option_for(session: Session, queue: str) -> str:
    """The argument of `-k` for the queue that the agent calls `queue`."""
    return f"@{queue}" if queue in session.loaded.config.routing_keys else queue


def _unknown(session: Session, given: str) -> CommandFailed:
    if is_routing_key(given):
        what, near = f"no event of the key {mask(given)} was ever accepted", None
    else:
        what = f"no queue is called {given!r}"
        near = nearest(given.removeprefix("@"), session.loaded.config.routing_keys)
    if near is not None:
        return CommandFailed(f"{what}: did you mean @{near}?")
    return CommandFailed(
        f"{what}: '{session.command('queue', 'status')}' shows those that there are"
    )
