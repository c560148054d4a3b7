"""`pagerduty-agent checkmk`, for a notification script of Checkmk."""

from __future__ import annotations

import os
from typing import Any

import click

from pdagent.cli.endings import LoggedCommand
from pdagent.cli.integrations.notifying import (
    alert_options,
    fields_of,
    hand_over,
    links_of,
)
from pdagent.cli.output import CommandFailed, ExitCode
from pdagent.cli.parameters import text
from pdagent.cli.session import Session, pass_session
from pdagent.cli.submission import time_of
from pdagent.integrations.checkmk import microtime, v2_event, variables

# Checkmk repeats a script that ends with 1, and gives up at every other code.
_WORTH_REPEATING = (ExitCode.UNREACHABLE, ExitCode.REFUSED_FOR_NOW)


@click.command(
    cls=LoggedCommand,
    short_help="Queue a notification of Checkmk.",
    epilog="\b\nExample:\n  pagerduty-agent checkmk -k @database",
)
@click.option(
    "--url-prefix",
    type=text,
    metavar="URL",
    default="",
    help="The site's address, such as https://mon.example.com/mysite: links the alert to Checkmk.",
)
@alert_options
@pass_session
def checkmk(session: Session, /, **options: Any) -> None:
    """Queue a notification of Checkmk (its NOTIFY_ variables) as an alert (Events API v2).

    It belongs into a notification script of the site, as 'exec pagerduty-agent checkmk'.
    Without -k the key is the rule's first parameter or the contact's pager address. The alert's
    key is that of Checkmk's own plugin for PagerDuty. Exit status 1 asks Checkmk to repeat.
    """
    given = {name: text(value) for name, value in variables(os.environ).items()}
    occurred_at = time_of({"at": options["at"] or microtime(given)})
    event = v2_event(
        {**given, **fields_of(options["fields"])},
        occurred_at=occurred_at,
        dedup_key=options["dedup_key"],
        url_prefix=options["url_prefix"],
        links=links_of(options),
    )
    keys = [*options["keys"], given.get("PARAMETER_1", ""), given.get("CONTACTPAGER", "")]
    try:
        hand_over(session, event, options, keys=keys, occurred_at=occurred_at)
    except CommandFailed as failure:
        if failure.exit_code in _WORTH_REPEATING:
            raise CommandFailed(str(failure)) from None
        raise
