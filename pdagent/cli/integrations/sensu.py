"""`pagerduty-agent sensu`, a handler for Sensu Core and Go, and go-pdagent's `sensu enqueue`."""

from __future__ import annotations

import sys
from typing import Any

import click

from pdagent.cli.completion import names_of_keys
from pdagent.cli.endings import LoggedCommand
from pdagent.cli.integrations.notifying import (
    alert_options,
    fields_of,
    hand_over,
    links_of,
)
from pdagent.cli.parameters import text
from pdagent.cli.session import Session, pass_session
from pdagent.cli.submission import time_of
from pdagent.integrations.event import Unusable
from pdagent.integrations.sensu import parse, v1_event, v2_event


def document() -> dict[str, Any]:
    """The event on standard input. Raises `Unusable`."""
    if sys.stdin is None:
        raise Unusable("standard input is closed: Sensu hands its event to a handler there")
    return parse(sys.stdin.buffer.read())


@click.command(
    cls=LoggedCommand,
    short_help="Queue a Sensu event from standard input.",
    epilog="\b\nExample:\n  pagerduty-agent sensu -k @database < event.json",
)
@alert_options
@pass_session
def sensu(session: Session, /, **options: Any) -> None:
    """Queue the event of Sensu Core or Sensu Go on standard input as an alert (Events API v2).

    The key is that of pd-sensu, CLIENT/CHECK. A check that is silenced triggers nothing.
    'sensu enqueue' takes go-pdagent's options.
    """
    occurred_at = time_of(options)
    event = v2_event(
        {**document(), **fields_of(options["fields"])},
        occurred_at=occurred_at,
        dedup_key=options["dedup_key"],
        links=links_of(options),
    )
    hand_over(session, event, options, keys=options["keys"], occurred_at=occurred_at)


@click.command(
    cls=LoggedCommand,
    epilog="\b\nExample:\n  pagerduty-agent sensu enqueue -k @database < event.json",
)
@click.option(
    "-k",
    "--integration-key",
    type=text,
    shell_complete=names_of_keys,
    required=True,
    help="Integration key, or @NAME.",
)
@click.option("-y", "--incident-key", type=text, help="Which incident.")
@pass_session
def enqueue(session: Session, *, integration_key: str, incident_key: str | None) -> None:
    """Queue a Sensu event as go-pdagent does (Events API v1); prints the receipt as JSON."""
    event = v1_event(document(), incident_key)
    hand_over(session, event, {"receipt": "json"}, keys=[integration_key], occurred_at=time_of({}))
