"""`pagerduty-agent enqueue`: an Events API v2 alert event."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from pdagent.cli.batch import batch_options, hand_over_batch
from pdagent.cli.endings import LoggedCommand
from pdagent.cli.parameters import (
    alert_key,
    at_option,
    details_option,
    field_option,
    image,
    key_option,
    link_option,
    receipt_options,
    text,
    timestamp_option,
)
from pdagent.cli.session import Session, pass_session
from pdagent.cli.submission import given, pictures_and_links, submit, time_of, with_details

_ACTIONS = click.Choice(["trigger", "acknowledge", "resolve"])
_SEVERITIES = click.Choice(["critical", "error", "warning", "info"])


@click.command(
    cls=LoggedCommand,
    short_help="Queue an alert event of Events API v2.",
    epilog="\b\nExample:\n  pagerduty-agent enqueue -k @database -t trigger -d 'Disk full' -u db1 "
    "-e critical -y db1/disk --link 'https://wiki.example.com/disk=Runbook'",
)
@key_option("--routing-key")
@click.option("-t", "--event-action", type=_ACTIONS, help="What to do; needed without --batch.")
@click.option(
    "-y",
    "--dedup-key",
    type=alert_key,
    help="Which alert; needed to acknowledge or resolve, made up for a trigger without one.",
)
@click.option("-d", "--summary", type=text, help="What happened; needed to trigger.")
@click.option("-u", "--source", type=text, help="What it happened to; needed to trigger.")
@click.option("-e", "--severity", type=_SEVERITIES, default="error", show_default=True)
@timestamp_option
@click.option("--component", type=text, help="The part that is at fault, such as mysql.")
@click.option("-g", "--group", type=text, help="What the source belongs to, such as www.")
@click.option("--class", type=text, help="The kind of event, such as disk.")
@field_option
@details_option
@click.option("--client", type=text, help="Name of the tool that saw it.")
@click.option("--client-url", type=text, help="Where to look at it in that tool.")
@link_option
@click.option(
    "--image",
    "images",
    type=image,
    metavar="SRC[,HREF[,ALT]]",
    multiple=True,
    help="An image (https); may be repeated. Write a comma in an address as %2C.",
)
@at_option
@batch_options
@receipt_options
@pass_session
@click.pass_context
def enqueue(context: click.Context, session: Session, /, **options: Any) -> None:
    """Queue an event (Events API v2): trigger, acknowledge or resolve an alert.

    It is stored on this host when the command returns, and delivered in order however long
    PagerDuty can't be reached.
    """
    hand_over_batch(context, session, "v2", needed=("routing_key", "event_action"))
    payload = given(options, "summary", "source", "timestamp", "component", "group", "class")
    payload |= with_details(options, "custom_details")
    chosen = context.get_parameter_source("severity") is not ParameterSource.DEFAULT
    # An acknowledge or resolve goes without a payload; a default alone must not make one.
    if options["event_action"] == "trigger" or payload or chosen:
        payload["severity"] = options["severity"]
    event = {
        **given(options, "event_action", "dedup_key"),
        **({"payload": payload} if payload else {}),
        **pictures_and_links(options),
        **given(options, "client", "client_url"),
    }
    submit(session, "v2", event, options, time_of(options))
