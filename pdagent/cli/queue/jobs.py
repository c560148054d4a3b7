"""`pagerduty-agent queue jobs`: which jobs report their ends, and by when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from pdagent.cli.output import echo_json
from pdagent.cli.parameters import json_option, show_keys_option
from pdagent.cli.queue.selection import (
    key_of,
    refuse_unknown,
    routing_key_option,
)
from pdagent.cli.session import LOOKED, Session, pass_session
from pdagent.wording import duration, one_line


@click.command(
    short_help="List the jobs that 'run' reports.",
    epilog="\b\nExample:\n  pagerduty-agent queue jobs -k @database",
)
@routing_key_option()
@json_option
@show_keys_option
@pass_session
def jobs(session: Session, *, routing_key: str | None, as_json: bool, show_keys: bool) -> None:
    """Show which jobs 'run' has reported, with an open alert or not, and when they are due.

    With --json, one line per job. Of each key the 100 that are due first.
    """
    with session.agent(LOOKED) as client:
        rows = client.queues(key_of(session, routing_key), show_keys=show_keys)
        if not rows:
            refuse_unknown(client, session, routing_key)
    found = [{"queue": row.get("queue"), **job} for row in rows for job in row.get("jobs", ())]
    for job in found:
        if as_json:
            echo_json(job)
        else:
            click.echo(one_line(_line(job)))
    if not found and not as_json:
        click.echo("No job has reported.")


def _line(job: dict[str, Any]) -> str:
    by, alert = job["expected_by"], "alert open" if job["alert_open"] else "well"
    line = f"{job['dedup_key']}  {job['queue']}  {alert}"
    if by is None:
        return line
    left = (datetime.fromisoformat(by) - datetime.now(UTC)).total_seconds()
    return f"{line}  success expected by {by} (in {duration(left)})"
