"""`pagerduty-agent server`: run the agent, and stop it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path
from typing import cast

import click

from pdagent.agent.pidfile import holds, running_pid
from pdagent.agent.stopping import StopSignals
from pdagent.cli.output import CommandFailed, ExitCode, echo_json, say
from pdagent.cli.session import LOOKED, Session, pass_session
from pdagent.config import Config, ConfigError, StartRefused, needed
from pdagent.config.loading import SYSTEM_FILE, user_file
from pdagent.wording import one_line

_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.05


@click.group(
    invoke_without_command=True,
    short_help="Run the agent in the foreground.",
    epilog="\b\nExample:\n  pagerduty-agent server",
)
@click.option("--database", metavar="DIR", help="Directory of the journal.")
@click.option("--region", type=click.Choice(["us", "eu"]), help="PagerDuty's service region.")
@click.option(
    "--sandbox",
    is_flag=True,
    help="Try things: run an agent and a stand-in for PagerDuty, both with a config, journal and "
    "port of their own.",
)
@pass_session
@click.pass_context
def server(
    context: click.Context,
    session: Session,
    *,
    database: str | None,
    region: str | None,
    sandbox: bool,
) -> None:
    """Run the agent in the foreground until SIGTERM, SIGINT or 'server stop'.

    Without any config file it writes one first, as 'init' does.
    """
    if sandbox:
        if database or region or session.is_given:
            raise click.UsageError("--sandbox has a config of its own: give no other option")
        # An agent that serves needs neither this nor a new config: 0.3 MB.
        from pdagent.cli.trial import trial_config

        session.config_file = str(trial_config(os.environ))
    if context.invoked_subcommand is not None:
        return
    signals = StopSignals()  # also while it starts
    if session.load(database=database, region=region).file is None:
        _first_config()
    # The server's parts take a while to load, and no other command needs them.
    from pdagent.agent.app import run

    loaded = session.load(database=database, region=region)
    if session.is_of_the_host:
        _refuse_others_than_the_service(loaded.config.database, session.command("server"))
    try:
        for why in loaded.unread.values():
            raise StartRefused(f"{why}: the agent needs this file")
        if sandbox:
            context.exit(_run_trial(loaded.config, needed(loaded.file), signals))
        context.exit(run(loaded.config, signals))
    except StartRefused as error:
        raise StartRefused(session.with_options(str(error))) from None


def _run_trial(config: Config, file: Path, signals: StopSignals) -> int:
    from pdagent.agent.app import run
    from pdagent.cli.trial import introduction, stand_in

    with stand_in(config, file):
        click.echo(introduction(file))
        return run(config, signals, sandbox=True)


@server.command(
    short_help="Stop the agent, and wait until it has ended.",
    epilog="\b\nExample:\n  pagerduty-agent server stop",
)
@pass_session
def stop(session: Session) -> None:
    """Ask the agent to stop, and wait until it has: at most 30 seconds."""
    path = needed(session.loaded.config.pidfile)
    for_root = f"as root, '{session.command('server', 'stop')}' stops the agent"
    pid = _running(path, for_root)
    if pid is None:
        raise CommandFailed(f"no agent is running (nobody holds the pidfile {path})")
    try:
        if not holds(pid, path) and _running(path, for_root) == pid:
            raise CommandFailed(
                f"process {pid}, which the pidfile {path} names, does not hold its lock: the agent "
                "runs in another PID namespace (a container: stop it there), or another program "
                "locked the file; nothing was stopped"
            )
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass  # it ended in this moment; the wait below sees that
    except PermissionError:
        raise CommandFailed(f"the agent (pid {pid}) belongs to another user: {for_root}") from None
    deadline = time.monotonic() + _STOP_SECONDS
    while _running(path, for_root) == pid:
        if time.monotonic() > deadline:
            raise CommandFailed(
                f"the agent (pid {pid}) was asked to stop {_STOP_SECONDS:.0f} s ago and still "
                "runs: see its log"
            )
        time.sleep(_POLL_SECONDS)
    click.echo(f"Stopped the agent (pid {pid}).")


@server.command(
    short_help="Tell whether the agent runs, and where.",
    epilog="\b\nExample:\n  pagerduty-agent server status",
)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@pass_session
def status(session: Session, *, as_json: bool) -> None:
    """Tell whether the agent runs, since when, and whether it is ready.

    Exit status: 0 it runs and is ready, 1 it runs but isn't ready, 69 it does not run or does not
    answer. 'pagerduty-agent status' shows its queues.
    """
    from pdagent.cli.health import check_health

    found: dict[str, object] = {"running": True, "ready": True, "reasons": [], "notes": []}
    failure = None
    try:
        found["notes"] = check_health(session)[1:]
    except CommandFailed as error:
        failure = error
        found |= {"ready": False, "reasons": [str(error)]}
    if failure is None or failure.exit_code is not ExitCode.UNREACHABLE:
        with session.agent(LOOKED) as client:
            agent = client.json("/status", limit="1").get("agent")
        names = ("pid", "version", "started_at", "address")
        found |= {name: agent.get(name) for name in names} if isinstance(agent, dict) else {}
    else:
        pid = None
        with contextlib.suppress(OSError):  # another user's
            pid = running_pid(needed(session.loaded.config.pidfile))
        found |= {"running": pid is not None, "pid": pid}
        if pid is not None:
            failure = CommandFailed(f"process {pid} runs, but {failure}", ExitCode.UNREACHABLE)
    if as_json:
        echo_json(json.dumps(found, ensure_ascii=False))
    elif "version" in found:
        head = "The agent (pid {pid}, version {version}) runs since {started_at} at {address}"
        ready = " and is ready" if found["ready"] else ""
        click.echo(f"{one_line(head.format_map(found))}{ready}.")
        for note in cast("list[str]", found["notes"]):
            click.echo(note)
    if failure is not None:
        raise failure


def _running(path: Path, otherwise: str) -> int | None:
    try:
        return running_pid(path)
    except OSError as error:
        raise CommandFailed(
            f"can't read the pidfile {path} ({error.strerror}): {otherwise}"
        ) from None


def _refuse_others_than_the_service(database: Path, starting: str) -> None:
    """Refuse to run the agent of the whole host as another user than the owner of its journal."""
    try:
        ours = database.stat().st_uid == os.geteuid()
    except OSError as error:
        ours = isinstance(error, FileNotFoundError)
    if not ours:
        raise StartRefused(
            f"{SYSTEM_FILE} is for the agent of the whole host, which runs as a user of its own: "
            f"'{starting}' starts it"
        )


def _first_config() -> None:
    from pdagent.config.template import write_config

    path = user_file()
    if not path.is_absolute():
        return  # a user without a home directory: the environment may say enough
    # Another server may be starting just now: its file serves as well.
    with contextlib.suppress(FileExistsError):
        try:
            write_config(path)
        except ConfigError as error:
            raise StartRefused(
                f"{error}; write one elsewhere with 'pagerduty-agent --config FILE init', "
                "or run on defaults with --config /dev/null"
            ) from None
        say("note", f"there was no config file: wrote {path} with a new secret")
