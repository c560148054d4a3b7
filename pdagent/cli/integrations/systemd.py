"""`pagerduty-agent systemd`, for units in `OnFailure=` and `OnSuccess=`."""

from __future__ import annotations

import os
import socket
import subprocess
from typing import Any

import click

from pdagent.cli.completion import names_of_keys
from pdagent.cli.endings import LoggedCommand
from pdagent.cli.parameters import at_option, receipt_options, text
from pdagent.cli.session import Session, pass_session
from pdagent.cli.submission import submit, time_of
from pdagent.integrations.systemd import unit_event

_LINES, _CHARACTERS = 20, 8_000
_JOURNAL_SECONDS = 5.0


@click.command(
    cls=LoggedCommand,
    short_help="Queue the failure or success of a systemd unit.",
    epilog="\b\nExample:\n  pagerduty-agent systemd -k @systemd trigger backup.service",
)
@click.option(
    "-k",
    "--routing-key",
    type=text,
    shell_complete=names_of_keys,
    required=True,
    help="Integration key, or @NAME of one in the config.",
)
@at_option
@receipt_options
@click.argument("action", type=click.Choice(["trigger", "resolve"]))
@click.argument("unit", type=text)
@pass_session
def systemd(session: Session, /, *, action: str, unit: str, **options: Any) -> None:
    """Queue an alert about UNIT, or its resolve, with the last lines of the unit's journal.

    For template units, see 'pagerduty-agent help integrations/systemd'. The result is read from
    systemd's MONITOR_ variables. Without access to the journal the event goes without its lines.
    """
    journal = _journal(unit) if action == "trigger" else ""
    occurred_at = time_of(options)
    event = unit_event(action, unit, socket.gethostname(), os.environ, journal, occurred_at)
    submit(session, event.kind, event.body, options, occurred_at, repeats=False)


def _journal(unit: str) -> str:
    """The last lines of the run that ended, or of the unit."""
    of_run = os.environ.get("MONITOR_INVOCATION_ID")
    wanted = [f"_SYSTEMD_INVOCATION_ID={of_run}"] if of_run else [f"--unit={unit}"]
    command = ["journalctl", "--quiet", "--no-pager", "--output=cat", f"--lines={_LINES}", *wanted]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_JOURNAL_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace").strip()[-_CHARACTERS:]
