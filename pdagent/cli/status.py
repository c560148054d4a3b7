"""`pagerduty-agent status`: the whole picture. `pagerduty-agent health`: well or not."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import msgspec

from pdagent.cli.failures import CommandFailed
from pdagent.cli.session import Session, pass_session
from pdagent.localclient import Refused

_UNWELL = 503


@click.command(epilog="\b\nExample:\n  pagerduty-agent status")
@click.option("--json", "as_json", is_flag=True, help="Print the agent's answer as JSON.")
@pass_session
def status(session: Session, *, as_json: bool) -> None:
    """Show the agent, PagerDuty as it sees it, totals, and a row per routing key."""
    with session.agent() as client:
        answer = client.status()
    if as_json:
        click.echo(msgspec.json.encode(answer))
        return
    # Drawing is loaded when something is drawn: commands that send events start without it.
    from rich.console import Console

    from pdagent.dashboard.report import status_report
    from pdagent.dashboard.table import print_status

    try:
        report = status_report(answer)
    except ValueError:
        raise CommandFailed("the agent's answer isn't a status: it is of another version") from None
    print_status(report, Console(highlight=False), datetime.now(UTC))


@click.command(epilog="\b\nExample:\n  pagerduty-agent health || systemctl restart pagerduty-agent")
@pass_session
def health(session: Session) -> None:
    """Tell whether the agent is well: OK and exit status 0, or the reasons and another one."""
    with session.agent() as client:
        try:
            client.health()
        except Refused as error:
            if error.status != _UNWELL:
                raise
            address = session.loaded.config.address
            raise CommandFailed(f"the agent at {address} is not well: {error}") from None
    click.echo("OK")
