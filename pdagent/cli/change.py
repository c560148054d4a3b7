"""`pagerduty-agent change`: an Events API v2 change event."""

from __future__ import annotations

from typing import Any

import click

from pdagent.cli.batch import batch_options, hand_over_batch
from pdagent.cli.endings import LoggedCommand
from pdagent.cli.parameters import (
    details_option,
    field_option,
    key_option,
    link_option,
    receipt_options,
    text,
    timestamp_option,
)
from pdagent.cli.session import Session, pass_session
from pdagent.cli.submission import given, pictures_and_links, submit, with_details


@click.command(
    cls=LoggedCommand,
    short_help="Queue a change event of Events API v2.",
    epilog="\b\nExample:\n  pagerduty-agent change -k @database -d 'Deployed 4.2' -f commit=3f2a",
)
@key_option("--routing-key")
@click.option("-d", "--summary", type=text, help="What was changed; needed without --batch.")
@click.option("-u", "--source", type=text, help="What changed it, or where.")
@timestamp_option
@field_option
@details_option
@link_option
@batch_options
@receipt_options
@pass_session
@click.pass_context
def change(context: click.Context, session: Session, /, **options: Any) -> None:
    """Queue a change event (Events API v2): a deployment, a setting, anything that was changed.

    It takes its place in the order of the key's other events.
    """
    hand_over_batch(context, session, "change", needed=("routing_key", "summary"))
    payload = given(options, "summary", "source", "timestamp")
    # Even an empty payload is sent, so that its summary is what is missing.
    event = {"payload": payload | with_details(options, "custom_details")}
    submit(session, "change", event | pictures_and_links(options), options)
