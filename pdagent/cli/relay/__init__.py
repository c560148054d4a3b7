"""`pagerduty-agent relay`: what operators ask of a relay, or of a host about its relays."""

from __future__ import annotations

import click

from pdagent.cli.relay.check import check
from pdagent.cli.relay.owning import status, step_down
from pdagent.cli.relay.resend import resend


@click.group(
    no_args_is_help=False,
    short_help="Check and operate relays; send to them again what they have lost.",
    epilog="\b\nExamples:\n  pagerduty-agent relay status\n"
    "  pagerduty-agent relay resend --since 2h",
)
def relay() -> None:
    """Operate relays: agents that take the events of other hosts.

    'check', 'status' and 'step-down' are for relays, 'resend' is for the hosts that send to them.
    """


for command in (check, status, step_down, resend):
    relay.add_command(command)
