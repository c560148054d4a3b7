"""`pagerduty-agent queue list`: which events wait, died or have ended."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TypeVar

import click
import msgspec

from pdagent.cli.output import echo_json, of_another_version
from pdagent.cli.parameters import json_option, show_keys_option
from pdagent.cli.queue.selection import (
    key_of,
    refuse_unknown,
    routing_key_option,
    state_option,
)
from pdagent.cli.session import LOOKED, Session, pass_session
from pdagent.operating.rows import DEAD, EventRow

_PAGE = 1_000
_ON_A_TERMINAL = 100
_Read = TypeVar("_Read")


@click.command(
    "list",
    short_help="List events that wait, died or ended.",
    epilog="\b\nExample:\n  pagerduty-agent queue list --state dead_lettered -k @database",
)
@state_option
@routing_key_option()
@click.option(
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    help=f"At most so many events. [default: {_ON_A_TERMINAL} on a terminal, otherwise all]",
)
@show_keys_option
@json_option
@pass_session
def list_command(
    session: Session,
    *,
    states: str | None,
    routing_key: str | None,
    limit: int | None,
    show_keys: bool,
    as_json: bool,
) -> None:
    """List events that wait or are dead letters, or those in the STATEs given.

    Dead letters come first, then what waits in the order of delivery, then what has ended, the
    latest first. With --json, one object a line: 'jq' picks some, 'queue retry -' takes them.
    """
    if limit is None and sys.stdout is not None and sys.stdout.isatty():
        limit = _ON_A_TERMINAL
    pages = _pages(session, routing_key, states, limit, show_keys=show_keys)
    if as_json:
        for events, _ in pages:
            if events:
                echo_json(b"\n".join(map(bytes, events)))
        return
    # Drawing is loaded when something is drawn.
    from pdagent.cli.queue.drawing import EventTable

    table = EventTable(datetime.now(UTC))
    more = False
    for events, more in pages:  # noqa: B007 (the last one counts)
        table.print(_read(events, EventRow))
    if not table.count:
        click.echo(_nothing(states))
    elif more:
        total = _total(session, routing_key, states)
        shown = f"{table.count:,}" if total is None else f"{table.count:,} of {total:,}"
        table.say(f"There are more, these are {shown}: --limit {10 * table.count} shows them.")
    if table.on_terminal and table.count:
        showing = session.command("queue", "show")
        table.say(f"All about one: {showing} ID (any part of it will do)")


def _total(session: Session, routing_key: str | None, states: str | None) -> int | None:
    """How many events there are; None for states that the agent does not count by themselves."""
    counts = {None: ("pending", "error"), DEAD: ("error",)}.get(states)
    if counts is None:
        return None
    with session.agent(LOOKED) as client:
        rows = client.queues(key_of(session, routing_key))
    return sum(int(row.get(count) or 0) for row in rows for count in counts)


def _pages(
    session: Session,
    routing_key: str | None,
    states: str | None,
    limit: int | None,
    *,
    show_keys: bool,
) -> Iterator[tuple[list[msgspec.Raw], bool]]:
    """Pages of at most `limit` events in all, and whether there is more behind each.

    An event whose state changes meanwhile may be in two of the agent's pages: it comes once here.
    """
    key, after, left = key_of(session, routing_key), None, limit
    seen: set[str] = set()
    while left is None or left > 0:
        with session.agent(LOOKED) as client:
            size = _PAGE if left is None else min(_PAGE, left)
            page = client.events(key, states=states, limit=size, after=after, show_keys=show_keys)
            if not page.events and after is None:
                refuse_unknown(client, session, routing_key)
        ids = [event.id for event in _read(page.events, _Named)]
        new = [event for event, id_ in zip(page.events, ids, strict=True) if id_ not in seen]
        seen.update(ids)
        left = None if left is None else left - len(new)
        yield new, page.next is not None
        after = page.next
        if after is None:
            return


class _Named(msgspec.Struct):
    id: str


def _read(events: list[msgspec.Raw], kind: type[_Read]) -> list[_Read]:
    try:
        return [msgspec.json.decode(event, type=kind) for event in events]
    except msgspec.DecodeError:
        raise of_another_version("a list of events") from None


def _nothing(states: str | None) -> str:
    if states:
        return f"No events in state {states}."
    return "No events wait, and there are no dead letters. '--state delivered' shows what is done."
