"""`pagerduty-agent queue`: look at queues and set dead-lettered events going again."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import msgspec

from pdagent.cli.failures import CommandFailed
from pdagent.cli.parameters import text
from pdagent.cli.session import Session, pass_session


@click.group(
    no_args_is_help=False, epilog="\b\nExample:\n  pagerduty-agent queue status -k @database"
)
def queue() -> None:
    """Look at queues, and retry events that PagerDuty refused."""


@queue.command(epilog="\b\nExample:\n  pagerduty-agent queue status -k @database")
@click.option("-k", "--routing-key", type=text, help="Only this key's queue (or @NAME).")
@click.option("--json", "as_json", is_flag=True, help="Print the agent's answer as JSON.")
@click.option("--show-keys", is_flag=True, help="Show whole routing keys: they are credentials.")
@pass_session
def status(session: Session, *, routing_key: str | None, as_json: bool, show_keys: bool) -> None:
    """Show how many events of each routing key wait, were delivered, and were refused."""
    key = session.routing_key(routing_key) if routing_key else None
    with session.agent() as client:
        answer = client.queue_status(key, show_keys=show_keys)
    if as_json:
        click.echo(msgspec.json.encode(answer))
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


@queue.command(epilog="\b\nExample:\n  pagerduty-agent queue retry -k @database")
@click.option("-k", "--routing-key", type=text, help="Only this key's events (or @NAME).")
@click.option("-a", "--all", "every", is_flag=True, help="The events of all keys.")
@click.option("--json", "as_json", is_flag=True, help="Print the agent's answer as JSON.")
@pass_session
def retry(session: Session, *, routing_key: str | None, every: bool, as_json: bool) -> None:
    """Queue events that PagerDuty refused once more, behind the events that wait."""
    if bool(routing_key) == every:
        raise click.UsageError("Name one key with -k, or all of them with --all.")
    key = session.routing_key(routing_key) if routing_key else None
    with session.agent() as client:
        answer = client.retry(key)
    if as_json:
        click.echo(msgspec.json.encode(answer))
    else:
        click.echo(str(answer.get("message", "Done.")))
