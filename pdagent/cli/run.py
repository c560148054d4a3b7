"""`pagerduty-agent run`: runs a command and reports how it ended."""

from __future__ import annotations

import os
import socket

import click

from pdagent.cli.completion import names_of_keys
from pdagent.cli.endings import LoggedCommand, failure_said, failures_logged
from pdagent.cli.output import say
from pdagent.cli.parameters import duration, duration_or_never, text
from pdagent.cli.running import run as run_command
from pdagent.cli.session import Session, pass_session
from pdagent.integrations.run import job_event

_TIMED_OUT = 124


@click.command(
    cls=LoggedCommand,
    short_help="Run a command and report if it fails.",
    context_settings={"allow_interspersed_args": False},
    epilog="\b\nExample:\n  pagerduty-agent run -k @database --expect-every 25h -- backup --all",
)
@click.option(
    "-k",
    "--routing-key",
    type=text,
    shell_complete=names_of_keys,
    required=True,
    help="Integration key, or @NAME of one in the config (a key here shows in process lists).",
)
@click.option("--name", type=text, help="The job's name; COMMAND's if missing.")
@click.option(
    "--timeout",
    type=duration,
    metavar="TIME",
    help="Ends the command after this time, such as 90s or 2h, and reports a failure: SIGTERM to "
    "its process group, SIGKILL 10 s later.",
)
@click.option(
    "--expect-every",
    type=duration_or_never,
    metavar="TIME",
    help="The agent triggers if no success is reported for this time, such as 25h. A report "
    "without it, or with 'never', ends that.",
)
@click.option(
    "--always-resolve",
    is_flag=True,
    help="Deliver a resolve after each success, also if the job's alert isn't open.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@pass_session
def run(
    session: Session,
    /,
    *,
    routing_key: str,
    name: str | None,
    timeout: float | None,
    expect_every: float | str | None,
    always_resolve: bool,
    command: tuple[str, ...],
) -> int:
    """Run COMMAND, trigger an alert if it fails, and resolve that after its next success.

    Input, output and exit status are the command's own. Whatever is wrong with the agent or its
    config, the command runs: problems go to standard error and syslog.
    """
    outcome = run_command(command, timeout)
    if not outcome.ran:
        say("error", outcome.output.decode("utf-8", "replace"))
    job = {"job": (name or "").strip() or text(os.path.basename(command[0])) or "job"}  # noqa: PTH119 - faster
    if expect_every is not None:
        job["expect_every"] = str(expect_every)
    if always_resolve:
        job["always_resolve"] = "1"
    event = job_event(job["job"], socket.gethostname(), outcome)
    with failure_said(), failures_logged():
        from pdagent.cli.submission import submit  # the command need not wait for it

        options = {"routing_key": routing_key, "receipt": "quiet"}
        submit(session, event.kind, event.body, options, outcome.at, job, repeats=False)
    if outcome.timeout is not None and not outcome.code:
        return _TIMED_OUT
    return outcome.code
