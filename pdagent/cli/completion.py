"""What a shell completes: names of routing keys, events, states and topics.

click calls these functions when the user presses the Tab key. A failure completes nothing: the user
is in the middle of a line, where a message would be in the way.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from pdagent.cli.session import Session

_ANSWER_SECONDS = 2.0
_MOST_EVENTS = 200


def names_of_keys(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """`@NAME` of each key with a name in the config. Keys themselves are credentials."""
    with _in_silence():
        names = _session(context).loaded.config.routing_keys
        return _beginning_with(incomplete, (f"@{name}" for name in names))
    return []


def ids_of_events(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Events that wait or are dead letters, with their state and summary."""
    import msgspec
    from click.shell_completion import CompletionItem

    from pdagent.operating.rows import EventRow
    from pdagent.wording import one_line

    with _in_silence(), _session(context).agent(answer_seconds=_ANSWER_SECONDS) as client:
        page = client.events(limit=_MOST_EVENTS)
        rows = [msgspec.json.decode(event, type=EventRow) for event in page.events]
        return [
            CompletionItem(row.id, help=one_line(f"{row.state} {row.summary}"))
            for row in rows
            if row.id.startswith(incomplete)
        ]
    return []


def states_of_events(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """The next state of a list with commas."""
    from pdagent.operating.rows import STATES

    before, comma, _ = incomplete.rpartition(",")
    return _beginning_with(incomplete, (before + comma + state for state in STATES))


def subjects(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Commands and topics."""
    from pdagent.cli import topics

    program = context.find_root().command
    assert isinstance(program, click.Group)
    names = [topic.name for topic in topics.topics()]
    return _beginning_with(incomplete, [*program.list_commands(context), *names])


@contextmanager
def _in_silence() -> Iterator[None]:
    with suppress(Exception), redirect_stderr(io.StringIO()):
        yield


def _session(context: click.Context) -> Session:
    """The settings that the global options of the line so far give."""
    from pdagent.cli.session import Session

    given = context.find_root().params
    flags = {name: given.get(name) for name in ("address", "secret", "pidfile")}
    return Session(given.get("config"), flags)


def _beginning_with(incomplete: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
