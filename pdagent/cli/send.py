"""`pagerduty-agent send`: an Events API v1 event, with the original agents' flags."""

from __future__ import annotations

from typing import Any

import click

from pdagent.cli.batch import batch_options, hand_over_batch
from pdagent.cli.endings import LoggedCommand
from pdagent.cli.parameters import (
    alert_key,
    at_option,
    field_option,
    key_option,
    receipt_options,
    text,
)
from pdagent.cli.session import Session, pass_session
from pdagent.cli.submission import given, submit, time_of, with_details

_TYPES = click.Choice(["trigger", "acknowledge", "resolve"])


@click.command(
    cls=LoggedCommand,
    short_help="Queue an event of Events API v1.",
    epilog="\b\nExample:\n  pagerduty-agent send -k @database -t trigger -d 'Disk full' "
    "-f host=db1",
)
@key_option("--service-key", "--routing-key", "routing_key")
@click.option("-t", "--event-type", type=_TYPES, help="What to do; needed without --batch.")
@click.option("-d", "--description", type=text, help="What happened; needed to trigger.")
@click.option(
    "-i",
    "--incident-key",
    type=alert_key,
    help="Which incident; needed to acknowledge or resolve, made up for a trigger without one.",
)
@click.option("-c", "--client", type=text, help="Name of the tool that saw it.")
@click.option("-u", "--client-url", type=text, help="Where to look at it in that tool.")
@field_option
@at_option
@batch_options
@receipt_options
@pass_session
@click.pass_context
def send(context: click.Context, session: Session, /, **options: Any) -> None:
    """Queue an event (Events API v1): trigger, acknowledge or resolve an incident.

    It is stored on this host when the command returns, and delivered in order however long
    PagerDuty can't be reached.
    """
    hand_over_batch(context, session, "v1", needed=("routing_key", "event_type"))
    event = given(options, "event_type", "incident_key", "description", "client", "client_url")
    submit(session, "v1", event | with_details(options, "details"), options, time_of(options))
