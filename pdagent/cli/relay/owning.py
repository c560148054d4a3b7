"""`relay status` and `relay step-down`: who owns the log, and that another one shall."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from pdagent.cli.output import echo_json
from pdagent.cli.parameters import json_option
from pdagent.cli.session import LOOKED, Session, pass_session
from pdagent.wording import counted, one_line

_ANSWER_SECONDS = 10.0


@click.command(
    short_help="Show the log's owner, the standbys and the engine.",
    epilog="\b\nExamples:\n  pagerduty-agent relay status\n"
    "  pagerduty-agent relay status --json | jq .owner.url",
)
@json_option
@pass_session
def status(session: Session, *, as_json: bool) -> None:
    """Show which relay owns the log, how far the standbys are, and the nodes of the engine.

    Each relay answers, owner or standby.
    """
    with session.agent(LOOKED, answer_seconds=_ANSWER_SECONDS) as client:
        answer = client.json("/relay/status")
    if as_json:
        echo_json(answer)
        return
    for line in _lines(answer):
        click.echo(one_line(line))


@click.command(
    "step-down",
    short_help="Hand the log over to another relay.",
    epilog="\b\nExample:\n  pagerduty-agent relay step-down",
)
@pass_session
def step_down(session: Session) -> None:
    """Hand the log over to another relay, for example before this machine is restarted.

    Deliveries under way end first. Then this relay starts again as a standby, and leaves the log to
    others for 10 seconds. On a standby the command fails and names the owner.
    """
    with session.agent("nothing was changed", answer_seconds=_ANSWER_SECONDS) as client:
        answer = client.json("/relay/step-down", wish={})
    click.echo(one_line(str(answer["message"])))


def _lines(answer: dict[str, Any]) -> list[str]:
    relay, owner, engine = answer["relay"], answer["owner"], answer["engine"]
    waits = f", waits for {relay['waits_for']}" if relay["waits_for"] else ""
    lines = [f"this relay  {relay['name']} ({relay['role']}{waits})"]
    lines.append(
        f"owner       {owner['name']} at {owner['url']}, version {owner['version']}, since "
        f"{owner['since']}"
        if owner
        else "owner       none"
    )
    for standby in answer["standbys"]:
        behind = counted(standby["behind"], "message") + " behind" if standby["behind"] else "ready"
        lines.append(
            f"standby     {standby['name']} at {standby['url']}, version {standby['version']}, "
            f"{behind}, seen {_ago(standby['seen_at'])}"
        )
    nodes = [f"{node['name']} ({node['version']})" for node in engine["nodes"]]
    up = f"{len(nodes)} of {engine['nodes_expected']} nodes"
    lines.append(f"engine      {up}: {', '.join(nodes)}" if nodes else "engine      no node seen")
    for stream in engine["streams"]:
        copies = [
            f"{copy['node']} {'up to date' if copy['current'] else 'NOT up to date'}"
            for copy in stream["copies"]
        ]
        leader = f"leader {stream['leader'] or 'none'}"
        lines.append(f"stream      {stream['name']}: {', '.join([leader, *copies])}")
    lines.append(f"log         {counted(engine['messages'], 'message')}, {engine['bytes']:,} bytes")
    return lines + [f"attention: {warning}" for warning in answer["warnings"]]


def _ago(time: str) -> str:
    seconds = (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()
    return f"{max(0, round(seconds))} s ago"
