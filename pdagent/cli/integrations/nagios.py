"""`pagerduty-agent nagios`, for Nagios and Icinga 2, and go-pdagent's `nagios enqueue`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from pdagent.cli.completion import names_of_keys
from pdagent.cli.endings import LoggedCommand
from pdagent.cli.integrations.notifying import (
    alert_options,
    fields_of,
    hand_over,
    links_of,
)
from pdagent.cli.parameters import lenient_field_option, text
from pdagent.cli.session import Session, pass_session
from pdagent.cli.submission import time_of
from pdagent.integrations.nagios import OBJECTS, TYPES, v1_event, v2_event

_Command = TypeVar("_Command", bound=Callable[..., object])

# Each option, its macro (SERVICE or HOST in the braces), and what that is.
_MACROS = {
    "host": ("HOSTNAME", "The host."),
    "service": ("SERVICEDESC", "The service, if it is about one."),
    "state": ("{}STATE", "Its state."),
    "output": ("{}OUTPUT", "The plugin's output."),
    "long-output": ("LONG{}OUTPUT", "Its further lines."),
    "attempt": ("{}ATTEMPT", "The number of the check's attempt."),
    "notes-url": ("{}NOTESURL", "A link to notes."),
    "notification-id": ("{}NOTIFICATIONID", "With --at: keeps events of one second in order."),
    "comment": ("NOTIFICATIONCOMMENT", "What was said with an acknowledgement."),
    "author": ("NOTIFICATIONAUTHOR", "Who said it."),
}


def _macro_options(command: _Command) -> _Command:
    for name, (macro, meaning) in reversed(_MACROS.items()):
        macros = " or ".join(dict.fromkeys(f"${macro.format(kind)}$" for kind in _KINDS))
        command = click.option(f"--{name}", type=text, help=f"{meaning} [{macros}]")(command)
    return command


_KINDS = ("SERVICE", "HOST")


@click.command(
    cls=LoggedCommand,
    short_help="Queue a notification of Nagios or Icinga 2.",
    epilog="\b\nExample:\n  pagerduty-agent nagios -k @database -t PROBLEM --host db1 "
    "--service Disk \\\n    --state CRITICAL --output 'DISK CRITICAL - 1% free'",
)
@click.option(
    "-t",
    "--type",
    "notification_type",
    type=text,
    required=True,
    help="PROBLEM, RECOVERY, ACKNOWLEDGEMENT, ... [$NOTIFICATIONTYPE$]",
)
@_macro_options
@alert_options
@pass_session
def nagios(session: Session, /, **options: Any) -> None:
    """Queue a notification of Nagios or Icinga 2 as an alert (Events API v2).

    Its key is that of pd-nagios: incidents that are open stay the same ones. Fields that are
    missing or wrong are left out, with a warning. 'nagios enqueue' takes go-pdagent's options.
    """
    fields = fields_of(options["fields"])
    kind = "SERVICE" if options["service"] or "SERVICEDESC" in fields else "HOST"
    given = {
        macro.format(kind): options[name.replace("-", "_")] or ""
        for name, (macro, _) in _MACROS.items()
    }
    occurred_at = time_of(options, options["notification_id"])
    event = v2_event(
        options["notification_type"],
        {**given, **fields},
        occurred_at=occurred_at,
        dedup_key=options["dedup_key"],
        links=links_of(options),
    )
    hand_over(session, event, options, keys=options["keys"], occurred_at=occurred_at)


@click.command(
    cls=LoggedCommand,
    epilog="\b\nExample:\n  pagerduty-agent nagios enqueue -k @database -t PROBLEM -n host \\\n    "
    "-f HOSTNAME=db1 -f HOSTSTATE=DOWN",
)
@click.option(
    "-k",
    "--service-key",
    type=text,
    shell_complete=names_of_keys,
    required=True,
    help="Integration key, or @NAME.",
)
@click.option(
    "-t",
    "--notification-type",
    type=click.Choice(TYPES),
    metavar="TYPE",
    required=True,
    help="PROBLEM, RECOVERY, ACKNOWLEDGEMENT, ...",
)
@click.option(
    "-n",
    "--source-type",
    type=click.Choice(OBJECTS),
    required=True,
    help="What it is about. Needed are -f HOSTNAME, and -f HOSTSTATE or -f SERVICEDESC and "
    "-f SERVICESTATE.",
)
@click.option("-y", "--incident-key", type=text, help="Which incident.")
@lenient_field_option
@pass_session
def enqueue(session: Session, /, **options: Any) -> None:
    """Queue a notification as go-pdagent does (Events API v1); prints the receipt as JSON."""
    event = v1_event(
        options["source_type"],
        options["notification_type"],
        fields_of(options["fields"]),
        options["incident_key"],
        host_first=True,
    )
    hand_over(
        session,
        event,
        {"receipt": "json"},
        keys=[options["service_key"]],
        occurred_at=time_of(options),
    )
