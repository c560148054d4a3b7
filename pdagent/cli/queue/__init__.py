"""`pagerduty-agent queue`: which events wait or died, why, and what is to become of them."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import msgspec

from pdagent.cli.failures import LOOKED, CommandFailed
from pdagent.cli.output import echo_json
from pdagent.cli.queue.changing import discard, retry
from pdagent.cli.queue.holding import hold, release
from pdagent.cli.queue.listing import list_command
from pdagent.cli.queue.options import routing_key_option, show_keys_option
from pdagent.cli.queue.selection import key_of, refuse_unknown
from pdagent.cli.queue.showing import show
from pdagent.cli.queue.tail import tail
from pdagent.cli.session import Session, pass_session


@click.group(
    no_args_is_help=False,
    short_help="See events that wait or died; retry, discard, hold, release.",
    epilog="\b\nExample:\n  pagerduty-agent queue status -k @database",
)
def queue() -> None:
    """See which events wait, died or have ended, and why; retry, discard, hold or release them."""


@queue.command(
    short_help="Count the events of each key.",
    epilog="\b\nExample:\n  pagerduty-agent queue status -k @database",
)
@routing_key_option()
@click.option("--json", "as_json", is_flag=True, help="Print the agent's answer as JSON.")
@show_keys_option
@pass_session
def status(session: Session, *, routing_key: str | None, as_json: bool, show_keys: bool) -> None:
    """Show how many events of each routing key wait, were delivered, and were refused."""
    with session.agent(LOOKED) as client:
        answer = client.queue_status(key_of(session, routing_key), show_keys=show_keys)
        if not answer.get("status_items"):
            refuse_unknown(client, session, routing_key)
    if as_json:
        echo_json(msgspec.json.encode(answer))
        return
    # Drawing is loaded when something is drawn: commands that send events start without it.
    from rich.console import Console

    from pdagent.dashboard.report import queue_reports
    from pdagent.dashboard.table import print_queues

    try:
        queues = queue_reports(answer)
    except ValueError:
        raise CommandFailed(
            "the agent's answer isn't a queue status: it is of another version"
        ) from None
    print_queues(queues, Console(highlight=False), datetime.now(UTC))


for command in (list_command, show, retry, discard, hold, release, tail):
    queue.add_command(command)
