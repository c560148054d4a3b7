"""`pagerduty-agent queue retry` and `queue discard`: events go on, or are given up."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence

import click
import msgspec

from pdagent.cli.failures import UNDONE, CommandFailed, ExitCode, perhaps_unread, say
from pdagent.cli.output import echo_json
from pdagent.cli.parameters import text
from pdagent.cli.queue.options import (
    ids_argument,
    ids_of,
    json_option,
    routing_key_option,
    state_option,
)
from pdagent.cli.queue.selection import about_queue, key_of, refuse_unknown
from pdagent.cli.session import Session, pass_session
from pdagent.localclient import LocalClient, Refused
from pdagent.localclient.answers import Changed
from pdagent.operating.rows import DEAD, WAITING, EventRow
from pdagent.wording import counted, one_line

_IDS_AT_ONCE = 1_000
_MOST_LISTED = 10
_FOR_NOW = 503
_NOT_FOUND, _NOT_CLEAR = 404, 409


@click.command(
    "retry",
    short_help="Try events again that failed.",
    epilog="\b\nExamples:\n  pagerduty-agent queue retry 0198f2c4-71a3"
    "\n  pagerduty-agent queue list --json | jq 'select(.attempts < 3)' -c | "
    "pagerduty-agent queue retry -",
)
@ids_argument
@routing_key_option()
@click.option("-a", "--all", "every", is_flag=True, help="The events of all keys.")
@click.option(
    "--force", is_flag=True, help="Also triggers of alerts that were resolved since: they reopen."
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
    """Try events again: dead letters behind those that wait, deferred ones at once.

    Name them by id (any unique beginning of it), by '-' for ids on standard input, by -k for all
    that failed of one key, or by --all.
    """
    ways = bool(ids) + bool(routing_key) + every
    if ways != 1:
        rule = "Name events by id, one key with -k, or all of them with --all"
        raise click.UsageError(f"{rule}: not both." if ways else f"{rule}.")
    with session.agent(UNDONE) as client:
        if ids:
            changed = _in_portions(ids_of(ids), lambda some: client.retry(ids=some, force=force))
        else:
            with about_queue(client, session, routing_key):
                changed = client.retry(key_of(session, routing_key), force=force)
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
    short_help="Give up events: they will never be delivered.",
    epilog="\b\nExample:\n  pagerduty-agent queue discard 0198f2c4-71a3",
)
@ids_argument
@routing_key_option()
@state_option
@click.option("--reason", type=text, metavar="TEXT", help="Why: the events' history keeps it.")
@click.option("--yes", is_flag=True, help="Don't ask.")
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
    """Give up events that wait or are dead letters: they will never reach PagerDuty.

    Name them by id (any unique beginning of it), by '-' for ids on standard input, or by -k for
    one key's, all of them or those in the STATEs given. An event in flight can't be taken back.
    """
    if ids and routing_key:
        raise click.UsageError("Name events by id, or one key with -k: not both.")
    if not (ids or routing_key):
        raise click.UsageError("Name events by id, or one key with -k.")
    if states and not routing_key:
        raise click.UsageError("--state goes with -k: ids say enough.")
    if not yes and ("-" in ids or not _can_ask()):
        raise click.UsageError("Nobody can be asked here: say --yes to discard without a question.")
    chosen, key = ids_of(ids), key_of(session, routing_key)
    with session.agent(UNDONE) as client:
        if key is None:
            question = None if yes else _about_ids(client, chosen)
        else:
            question = None if yes else _about_queue(client, session, key, states)
        if question is not None and not click.confirm(question, err=True):
            raise CommandFailed("nothing was discarded")
        if key is None:
            changed = _in_portions(chosen, lambda some: client.discard(ids=some, reason=reason))
        else:
            with about_queue(client, session, routing_key):
                changed = client.discard(key, states=states, reason=reason)
            if not changed.count:
                refuse_unknown(client, session, routing_key)
    _tell(session, changed, f"Discarded {counted(changed.count, 'event')}.", as_json)


def _can_ask() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _about_ids(client: LocalClient, ids: Sequence[str]) -> str | None:
    """The question, below lines about what is meant; None if there is nothing to ask about."""
    if not ids:
        return None
    for given in ids[:_MOST_LISTED]:
        try:
            row = msgspec.json.decode(client.event(given), type=EventRow)
        except Refused as error:
            if error.status not in (_NOT_FOUND, _NOT_CLEAR):
                raise
            continue  # the agent says it again, once it is asked to discard it
        what = row.summary or row.dedup_key
        click.echo(one_line(f"{row.id}  {row.state}  {row.queue}  {what}"), err=True)
    if len(ids) > _MOST_LISTED:
        click.echo(f"... and {len(ids) - _MOST_LISTED:,} more", err=True)
    which = "this event" if len(ids) == 1 else f"these {len(ids):,} events"
    return f"Discard {which}? PagerDuty will never hear of it."


def _about_queue(client: LocalClient, session: Session, key: str, states: str | None) -> str | None:
    """The question with the numbers; None if there is nothing to discard."""
    page = client.events(key, states=states, limit=1)
    if not page.events:
        return None
    found = client.queue_status(key).get("status_items")
    [queue] = msgspec.convert(found, tuple[_Counts, ...])[:1] or [_Counts()]
    wanted = (states or f"waiting,{DEAD}").replace("-", "_").split(",")
    kinds = []
    if queue.pending and "waiting" in wanted:
        kinds.append(f"{queue.pending:,} waiting")
    kinds += [f"the {state}" for state in wanted if state in WAITING]
    if queue.error and DEAD in wanted:
        kinds.append(f"{queue.error:,} dead-lettered")
    one = kinds in (["1 waiting"], ["1 dead-lettered"])
    return (
        f"Discard {' and '.join(kinds)} {'event' if one else 'events'} of {queue.queue}? "
        "PagerDuty will never hear of it."
    )


class _Counts(msgspec.Struct):
    queue: str = ""
    pending: int = 0
    error: int = 0


def _in_portions(ids: Sequence[str], change: Callable[[Sequence[str]], Changed]) -> Changed:
    """One `Changed` for as many ids as there are."""
    parts = [change(some) for some in _portions(ids)]
    return Changed(
        message="",
        count=sum(part.count for part in parts),
        events=tuple(event for part in parts for event in part.events),
        refused=tuple(refused for part in parts for refused in part.refused),
    )


def _portions(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for begin in range(0, len(ids), _IDS_AT_ONCE):
        yield ids[begin : begin + _IDS_AT_ONCE]


def _tell(session: Session, changed: Changed, text: str, as_json: bool) -> None:
    """Print what was done on standard output, and what was not as lines on standard error."""
    changed = msgspec.structs.replace(changed, message=text)
    with perhaps_unread():
        echo_json(msgspec.json.encode(changed)) if as_json else click.echo(text)
    for refused in changed.refused:
        say("error", session.with_options(refused.error))
    if changed.refused:
        for_now = all(refused.status == _FOR_NOW for refused in changed.refused)
        code = ExitCode.REFUSED_FOR_NOW if for_now else ExitCode.FAILED
        click.get_current_context().exit(code)
