"""`pagerduty-agent queue hold` and `queue release`: deliveries of a key pause, and go on."""

from __future__ import annotations

import click
import msgspec

from pdagent.cli.failures import UNDONE
from pdagent.cli.output import echo_json
from pdagent.cli.parameters import text
from pdagent.cli.queue.options import json_option, routing_key_option
from pdagent.cli.queue.selection import about_queue, key_of, option_for
from pdagent.cli.session import Session, pass_session


@click.command(
    "hold",
    short_help="Accept, but deliver nothing of a key.",
    epilog="\b\nExample:\n  pagerduty-agent queue hold -k @database --reason 'upgrade'",
)
@routing_key_option(required=True)
@click.option(
    "--reason", type=text, metavar="TEXT", help="Why: 'status' and the events' history show it."
)
@json_option
@pass_session
def hold(session: Session, *, routing_key: str, reason: str | None, as_json: bool) -> None:
    """Deliver nothing of one key until it is released; its events are still accepted.

    For maintenance windows: nobody is paged meanwhile, nothing is lost. An agent that is started
    again still holds the key.
    """
    with session.agent(UNDONE) as client, about_queue(client, session, routing_key):
        answer = client.hold(str(key_of(session, routing_key)), reason=reason)
    queue = option_for(session, str(answer.get("queue")))
    _tell(answer, as_json, f"To go on: {session.command('queue', 'release', '-k', queue)}")


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
    key = str(key_of(session, routing_key))
    with session.agent(UNDONE) as client, about_queue(client, session, routing_key):
        was_held = _is_held(client.queue_status(key))
        answer = client.release(key)
    if not was_held:
        answer["message"] = f"{answer.get('queue')} was not held."
    waiting = answer.get("waiting")
    waits = "1 event waits" if waiting == 1 else f"{waiting} events wait"
    _tell(answer, as_json, f"{waits} for delivery.")


def _is_held(status: dict[str, object]) -> bool:
    rows = status.get("status_items")
    return isinstance(rows, list) and any(isinstance(r, dict) and r.get("held") for r in rows)


def _tell(answer: dict[str, object], as_json: bool, more: str) -> None:
    if as_json:
        echo_json(msgspec.json.encode(answer))
    else:
        click.echo(f"{answer.get('message')} {more}")
