"""`pagerduty-agent init`: a config file to start from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pdagent.cli.output import CommandFailed
from pdagent.cli.session import Session, pass_session
from pdagent.config import needed
from pdagent.config.loading import CONFIG_ENV, SYSTEM_FILE, config_path, user_file
from pdagent.config.template import tls_files, write_config

if TYPE_CHECKING:
    from pdagent.migration.old_configs import Converted


@click.command(
    short_help="Write a config file to start from.",
    epilog="\b\nExamples:\n  pagerduty-agent init --tls\n  sudo pagerduty-agent init --system"
    "\n  sudo pagerduty-agent init --system --from /etc/pdagent.conf",
)
@click.option(
    "--system",
    "for_host",
    is_flag=True,
    help="Install for the whole host: a user and group pagerduty-agent, /etc/pagerduty-agent.yaml, "
    "directories, a systemd unit. For root.",
)
@click.option(
    "--tls",
    is_flag=True,
    help="Make a self-signed certificate, and let the agent speak https: PagerDuty's Python SDK "
    "takes nothing else.",
)
@click.option(
    "--tls-name",
    "tls_names",
    metavar="NAME",
    multiple=True,
    help="With --tls: a name or IP address by which clients call the agent; may be repeated. "
    "localhost, 127.0.0.1, ::1 and this host's name are always there.",
)
@click.option(
    "--from",
    "old",
    metavar="FILE",
    help="Take over the settings of one of PagerDuty's older agents: the Python agent's "
    "/etc/pdagent.conf, or go-pdagent's config.yaml.",
)
@pass_session
def init(
    session: Session, *, for_host: bool, tls: bool, tls_names: tuple[str, ...], old: str | None
) -> None:
    """Write a config file with a new secret and every option explained.

    The file is ~/.pagerduty-agent.yaml, or the one that --config names. Only its owner can read
    it. A file that is there already is never changed.

    With --system the agent is installed for the whole host, and each user of the group
    pagerduty-agent can send events. It can be repeated: what is there is left as it is.
    """
    names = _checked(tls_names) if tls else None
    if tls_names and not tls:
        raise click.UsageError("--tls-name says for whom the certificate of --tls is: add --tls")
    path = SYSTEM_FILE
    if not for_host:
        named = session.config_file or os.environ.get(CONFIG_ENV)
        if not named and SYSTEM_FILE.exists():
            raise CommandFailed(
                f"{SYSTEM_FILE} is the config of this host's agent, which every command finds: "
                "for a second agent, name another file with --config"
            )
        path = config_path(named) if named else needed(user_file())
    taken = None if old is None else _converted(config_path(old), path)
    if for_host:
        taken = taken and taken.without("pidfile", "the service has its own")
        _install(session, names, taken)
    else:
        _write(session, path, names, taken)
    if taken is not None:
        _tell(session, taken)


def _write(
    session: Session, path: Path, tls_names: tuple[str, ...] | None, taken: Converted | None
) -> None:
    try:
        if taken is None:
            write_config(path, tls_names=tls_names)
        else:
            write_config(path, tls_names=tls_names, settings=taken.settings, notes=taken.notes())
    except FileExistsError as error:
        raise _exists(error.filename) from None
    server = session.command("server")
    secret = "the old secret" if taken and "secret" in taken.settings else "a new secret"
    click.echo(f"Wrote {path} with {secret}. '{server}' starts the agent.")
    if tls_names is not None:
        files = tls_files(path)
        click.echo(
            f"Wrote {files.certificate}, which clients have to trust, and its key {files.key}."
        )


def _install(session: Session, tls_names: tuple[str, ...] | None, taken: Converted | None) -> None:
    from pdagent.installation import CannotInstall, install, next_steps

    if session.config_file:
        raise click.UsageError("--system writes /etc/pagerduty-agent.yaml: leave out --config")
    if os.geteuid() != 0:
        raise CommandFailed("--system needs root: run 'sudo pagerduty-agent init --system'")
    try:
        for line in install(tls_names, taken):
            click.echo(line)
    except CannotInstall as error:
        raise CommandFailed(str(error)) from None
    click.echo(next_steps())


def _converted(old: Path, path: Path) -> Converted:
    from pdagent.migration.old_configs import convert

    if old.exists() and path.exists() and old.samefile(path):
        raise CommandFailed(
            f"{old} is also where the new config goes: run 'mv {old} {old}.old', then repeat this "
            f"with --from {old}.old"
        )
    if path.exists():
        raise _exists(path)
    try:
        return convert(old)
    except FileNotFoundError:
        raise click.UsageError(f"--from: there is no file {old}") from None


def _exists(path: object) -> CommandFailed:
    return CommandFailed(
        f"{path} exists already and was left as it is: edit it, or remove it first"
    )


def _tell(session: Session, taken: Converted) -> None:
    click.echo(f"Taken over from {taken.agent}'s config: {', '.join(taken.settings) or 'nothing'}.")
    if taken.left:
        click.echo(f"Not taken over, the new file says why: {', '.join(taken.left)}.")
    if taken.queue is None:
        click.echo("The old database may hold events: see 'pagerduty-agent help moving'.")
    else:
        command = session.command("import", str(taken.queue))
        click.echo(f"'{command}' takes over the events that wait, once the new agent runs.")


def _checked(names: tuple[str, ...]) -> tuple[str, ...]:
    from pdagent.config.certificates import is_name

    for name in names:
        if not is_name(name):
            raise click.UsageError(f"--tls-name: {name!r} is neither a host's name nor an address")
    return names
