"""`relay check`: whether an engine is fit for relays."""

from __future__ import annotations

import json

import click
import msgspec

from pdagent.cli.output import CommandFailed, ExitCode, echo_json, say
from pdagent.cli.session import Session, pass_session
from pdagent.wording import counted


@click.command(
    short_help="Check the engine as a relay does when it starts.",
    epilog="\b\nExample:\n  pagerduty-agent relay check",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@pass_session
@click.pass_context
def check(context: click.Context, session: Session, *, as_json: bool) -> None:
    """Check the engine as a relay does when it starts, without a running relay.

    Each node must run nats-server 2.14 or later and sync each write to its disk, and the streams
    must have as many replicas as the config says. Makes the streams if they are not there yet. Exit
    status 1 if a relay would refuse to start.
    """
    config = session.loaded.config
    if not config.engine_urls:
        raise CommandFailed("engine is not set, so this agent is no relay: set 'engine'")
    config.check()
    from pdagent.relay.preflight import TRIAL, node_problems, stream_problems
    from pdagent.relay.watch import log_of, nodes_of
    from store.log import LogUnavailableError

    replicas = config.engine_replicas
    try:
        nodes = nodes_of(config)
        problems, streams = node_problems(nodes, replicas), []
        if not problems:
            log = log_of(config)
            streams = log.streams()
            log.close()
            problems = stream_problems(streams, replicas)
    except LogUnavailableError as error:
        raise CommandFailed(
            f"{error}: start the nodes of the engine, or correct 'engine' in the config"
        ) from None
    reasons = [str(problem) for problem in problems]
    warnings = [TRIAL] if replicas == 1 else []
    if as_json:
        found = {"nodes": nodes, "streams": streams, "problems": reasons, "warnings": warnings}
        echo_json(json.dumps(msgspec.to_builtins(found), ensure_ascii=False))
    else:
        for node in nodes:
            syncs = "syncs each write" if node.sync_always else "does not sync each write"
            click.echo(f"node {node.name}: nats-server {node.version}, {syncs}")
        for stream in streams:
            click.echo(
                f"stream {stream.name}: {counted(stream.replicas, 'replica')}, "
                f"leader {stream.leader or 'none'}"
            )
    for warning in warnings:
        say("warning", warning)
    for reason in reasons:
        say("error", reason)
    context.exit(ExitCode.FAILED if reasons else ExitCode.DONE)
