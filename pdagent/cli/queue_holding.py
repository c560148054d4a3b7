"""`pagerduty-agent queue hold` and `queue release`: deliveries of a key pause, and go on."""

from __future__ import annotations

import click
import msgspec

from pdagent.cli.queue_options import UNDONE, json_option, routing_key_option
from pdagent.cli.session import Session, pass_session


@click.command(
    "hold",
    short_help="Accept, but deliver nothing of a key.",
    epilog="\b\nExample:\n  pagerduty-agent queue hold -k @database --reason 'upgrade'",
)
@routing_key_option(required=True)
@click.option("--reason", metavar="TEXT", help="Why: 'status' and the events' history show it.")
@json_option
@pass_session
def hold(session: Session, *, routing_key: str, reason: str | None, as_json: bool) -> None:
    """Deliver nothing of one key until it is released; its events are still accepted.

    For maintenance windows: nobody is paged meanwhile, nothing is lost. An agent that is started
    again still holds the key.
    """
    with session.agent(UNDONE) as client:
        answer = client.hold(session.routing_key(routing_key), reason=reason)
    _tell(answer, as_json, f"To go on: {session.command('queue', 'release', '-k', routing_key)}")


@click.command(
    "release",
    short_help="Deliver again what was held.",
    epilog="\b\nExample:\n  pagerduty-agent queue release -k @database",
)
@routing_key_option(required=True)
@json_option
@pass_session
def release(session: Session, *, routing_key: str, as_json: bool) -> None:
    """Deliver the events of a key that was held again, in their order."""
    with session.agent(UNDONE) as client:
        answer = client.release(session.routing_key(routing_key))
    _tell(answer, as_json, f"{answer.get('waiting')} events wait for their delivery.")


def _tell(answer: dict[str, object], as_json: bool, more: str) -> None:
    if as_json:
        click.echo(msgspec.json.encode(answer))
    else:
        click.echo(f"{answer.get('message')} {more}")
