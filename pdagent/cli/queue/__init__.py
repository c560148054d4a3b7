"""`pagerduty-agent queue`: which events wait or are dead letters, why, and what to do with them."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from pdagent.cli.output import echo_json, of_another_version
from pdagent.cli.parameters import json_option, show_keys_option, text
from pdagent.cli.queue.changing import discard, retry
from pdagent.cli.queue.edit import edit
from pdagent.cli.queue.jobs import jobs
from pdagent.cli.queue.listing import list_command
from pdagent.cli.queue.selection import (
    about_queue,
    key_of,
    option_for,
    refuse_unknown,
    routing_key_option,
)
from pdagent.cli.queue.showing import show
from pdagent.cli.queue.tail import tail
from pdagent.cli.session import LOOKED, UNDONE, Session, pass_session


@click.group(
    no_args_is_help=False,
    short_help="See waiting and dead events; retry, edit, discard, hold, release.",
    epilog="\b\nExample:\n  pagerduty-agent queue status -k @database",
)
def queue() -> None:
    """See waiting, dead and ended events, and why; retry, edit, discard, hold or release them."""


@queue.command(
    short_help="Count the events of each key.",
    epilog="\b\nExample:\n  pagerduty-agent queue status -k @database",
)
@routing_key_option()
@json_option
@show_keys_option
@pass_session
def status(session: Session, *, routing_key: str | None, as_json: bool, show_keys: bool) -> None:
    """Show how many events of each routing key wait, were delivered, and were refused."""
    with session.agent(LOOKED) as client:
        answer = client.queue_status(key_of(session, routing_key), show_keys=show_keys)
        if not answer.get("status_items"):
            refuse_unknown(client, session, routing_key)
    if as_json:
        echo_json(answer)
        return
    # Drawing is loaded when something is drawn: commands that send events start without it.
    from rich.console import Console

    from pdagent.dashboard.report import queue_reports
    from pdagent.dashboard.table import print_queues

    try:
        queues = queue_reports(answer)
    except ValueError:
        raise of_another_version("a queue status") from None
    print_queues(queues, Console(highlight=False), datetime.now(UTC))


@queue.command(
    short_help="Pause deliveries of a key; its events are still accepted.",
    epilog="\b\nExample:\n  pagerduty-agent queue hold -k @database --reason 'upgrade'",
)
@routing_key_option(required=True)
@click.option(
    "--reason", type=text, metavar="TEXT", help="Why: 'status' and the events' history show it."
)
@json_option
@pass_session
def hold(session: Session, *, routing_key: str, reason: str | None, as_json: bool) -> None:
    """Deliver no event of one key until it is released; its events are still accepted.

    For maintenance windows: nobody is paged meanwhile, no event is lost. The key stays held over
    restarts of the agent.
    """
    with session.agent(UNDONE) as client, about_queue(session, routing_key):
        answer = client.json("/queue/hold", key_of(session, routing_key), wish={"reason": reason})
    queue = option_for(session, str(answer.get("queue")))
    _tell(answer, as_json, f"To go on: {session.command('queue', 'release', '-k', queue)}")


@queue.command(
    short_help="Resume deliveries of a held key.",
    epilog="\b\nExample:\n  pagerduty-agent queue release -k @database",
)
@routing_key_option(required=True)
@json_option
@pass_session
def release(session: Session, *, routing_key: str, as_json: bool) -> None:
    """Deliver the events of a held key again, in their order."""
    key = key_of(session, routing_key)
    with session.agent(UNDONE) as client, about_queue(session, routing_key):
        was_held = any(row.get("held") for row in client.queues(key))
        answer = client.json("/queue/release", key, wish={})
    if not was_held:
        answer["message"] = f"{answer.get('queue')} was not held."
    waiting = answer.get("waiting")
    waits = "1 event waits" if waiting == 1 else f"{waiting} events wait"
    _tell(answer, as_json, f"{waits} for delivery.")


def _tell(answer: dict[str, object], as_json: bool, more: str) -> None:
    if as_json:
        echo_json(answer)
    else:
        click.echo(f"{answer.get('message')} {more}")


for command in (list_command, show, retry, edit, discard, tail, jobs):
    queue.add_command(command)
