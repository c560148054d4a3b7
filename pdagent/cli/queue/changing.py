"""`pagerduty-agent queue retry` and `queue discard`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Literal

import click
import msgspec

from pdagent.cli.output import CommandFailed, ExitCode, echo_json, perhaps_unread, say
from pdagent.cli.parameters import json_option, text
from pdagent.cli.queue.selection import (
    about_queue,
    ids_argument,
    ids_of,
    key_of,
    refuse_unknown,
    routing_key_option,
    state_option,
)
from pdagent.cli.session import UNDONE, Session, pass_session
from pdagent.localclient import LocalClient
from pdagent.localclient.answers import Changed
from pdagent.localclient.errors import FOR_NOW, Refused
from pdagent.operating.rows import DEAD, EventRow
from pdagent.wording import counted, one_line

_IDS_AT_ONCE = 1_000
_MOST_LISTED = 10
_NOT_FOUND, _NOT_CLEAR = 404, 409


@click.command(
    "retry",
    short_help="Retry events that failed.",
    epilog="\b\nExamples:\n  pagerduty-agent queue retry 5e0f8c21d7b4"
    "\n  pagerduty-agent queue list --json | jq 'select(.attempts < 3)' -c | "
    "pagerduty-agent queue retry -",
)
@ids_argument
@routing_key_option()
@click.option("-a", "--all", "every", is_flag=True, help="The events of all keys.")
@click.option(
    "--force",
    is_flag=True,
    help="Also triggers of alerts that were resolved since: they open again.",
)
@json_option
@pass_session
def retry(
    session: Session,
    *,
    ids: tuple[str, ...],
    routing_key: str | None,
    every: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Retry events: dead letters go to the tail of their queue, deferred ones are tried at once.

    Name them by id (any unique part of it), by '-' for ids on standard input, by -k for all
    failed events of one key, or by --all.
    """
    ways = bool(ids) + bool(routing_key) + every
    if ways != 1:
        rule = "Name events by id, one key with -k, or all of them with --all"
        raise click.UsageError(f"{rule}: not both." if ways else f"{rule}.")
    with session.agent(UNDONE) as client:
        if ids:
            changed = _in_portions(client, "retry", ids_of(ids), force=force)
        else:
            with about_queue(session, routing_key):
                changed = client.change("retry", key_of(session, routing_key), force=force)
            if not changed.count and not changed.left:
                refuse_unknown(client, session, routing_key)
    _tell(session, changed, f"Retrying {counted(changed.count, 'event')}.", as_json)
    if changed.left:
        listing = session.command("queue", "list", "--state", DEAD)
        say(
            "note",
            f"{counted(changed.left, 'dead letter')} left: triggers of alerts that were resolved "
            f"since, which a retry would open again; '{listing}' shows them, --force retries them",
        )


@click.command(
    "discard",
    short_help="Discard events: they will not be delivered.",
    epilog="\b\nExample:\n  pagerduty-agent queue discard 5e0f8c21d7b4",
)
@ids_argument
@routing_key_option()
@state_option
@click.option("--reason", type=text, metavar="TEXT", help="Why: the events' history keeps it.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@json_option
@pass_session
def discard(
    session: Session,
    *,
    ids: tuple[str, ...],
    routing_key: str | None,
    states: str | None,
    reason: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Discard events that wait or are dead letters: they will never reach PagerDuty.

    Name them by id (any unique part of it), by '-' for ids on standard input, or by -k for
    all events of one key or those in the STATEs given. An event in flight can't be discarded.
    """
    if ids and routing_key:
        raise click.UsageError("Name events by id, or one key with -k: not both.")
    if not (ids or routing_key):
        raise click.UsageError("Name events by id, or one key with -k.")
    if states and not routing_key:
        raise click.UsageError("--state goes with -k: ids say enough.")
    if not yes and ("-" in ids or not _can_ask()):
        raise click.UsageError("not a terminal: add --yes to discard without confirmation.")
    chosen, key = ids_of(ids), key_of(session, routing_key)
    with session.agent(UNDONE) as client:
        if key is None:
            question = None if yes else _about_ids(client, chosen)
        else:
            question = None if yes else _about_queue(client, key, states)
        if question is not None and not click.confirm(question, err=True):
            raise CommandFailed("nothing was discarded")
        if key is None:
            changed = _in_portions(client, "discard", chosen, reason=reason)
        else:
            with about_queue(session, routing_key):
                changed = client.change("discard", key, states=states, reason=reason)
            if not changed.count:
                refuse_unknown(client, session, routing_key)
    _tell(session, changed, f"Discarded {counted(changed.count, 'event')}.", as_json)


def _can_ask() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _about_ids(client: LocalClient, ids: Sequence[str]) -> str | None:
    """The question to confirm, below a line for each event; None without ids."""
    if not ids:
        return None
    for given in ids[:_MOST_LISTED]:
        try:
            row = msgspec.json.decode(client.event(given), type=EventRow)
        except Refused as error:
            if error.status not in (_NOT_FOUND, _NOT_CLEAR):
                raise
            continue  # the discard reports it
        what = row.summary or row.dedup_key
        click.echo(one_line(f"{row.id}  {row.state}  {row.queue}  {what}"), err=True)
    if len(ids) > _MOST_LISTED:
        click.echo(f"... and {len(ids) - _MOST_LISTED:,} more", err=True)
    which = "this event" if len(ids) == 1 else f"these {len(ids):,} events"
    return f"Discard {which}? {'It' if len(ids) == 1 else 'They'} will not be delivered."


def _about_queue(client: LocalClient, key: str, states: str | None) -> str | None:
    """The question to confirm, with the numbers; None if there is nothing to discard."""
    if not client.events(key, states=states, limit=1).events:
        return None
    [queue] = client.queues(key)[:1] or [{}]
    which = f"the events in state {states}" if states else "all events"
    counts = f"{queue.get('pending')} waiting, {queue.get('error')} dead-lettered"
    return f"Discard {which} of {queue.get('queue')} ({counts})? They will not be delivered."


def _in_portions(
    client: LocalClient, verb: Literal["retry", "discard"], ids: Sequence[str], **wish: Any
) -> Changed:
    """One `Changed` for any number of ids."""
    parts = [
        client.change(verb, ids=ids[begin : begin + _IDS_AT_ONCE], **wish)
        for begin in range(0, len(ids), _IDS_AT_ONCE)
    ]
    return Changed(
        message="",
        count=sum(part.count for part in parts),
        events=tuple(event for part in parts for event in part.events),
        refused=tuple(refused for part in parts for refused in part.refused),
    )


def _tell(session: Session, changed: Changed, text: str, as_json: bool) -> None:
    """Print what was done on standard output, and what was not as lines on standard error."""
    changed = msgspec.structs.replace(changed, message=text)
    with perhaps_unread():
        echo_json(changed) if as_json else click.echo(text)
    for refused in changed.refused:
        say("error", session.with_options(refused.error))
    if changed.refused:
        for_now = all(refused.status in FOR_NOW for refused in changed.refused)
        code = ExitCode.REFUSED_FOR_NOW if for_now else ExitCode.FAILED
        click.get_current_context().exit(code)
