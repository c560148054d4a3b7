"""`pagerduty-agent relay`: what operators ask of a relay, or of a host about its relays."""

from __future__ import annotations

import click

from pdagent.cli.relay.resend import resend


@click.group(
    no_args_is_help=False,
    short_help="Send to the relays again what they have lost.",
    epilog="\b\nExample:\n  pagerduty-agent relay resend --since 2h",
)
def relay() -> None:
    """Operate relays: agents that take the events of other hosts."""


relay.add_command(resend)
