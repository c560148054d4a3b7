"""`pagerduty-agent init`: a config file to start from."""

from __future__ import annotations

import os

import click

from pdagent.cli.output import CommandFailed
from pdagent.cli.session import Session, pass_session
from pdagent.config import needed
from pdagent.config.loading import CONFIG_ENV, config_path, user_file
from pdagent.config.template import tls_files, write_config


@click.command(
    short_help="Write a config file to start from.",
    epilog="\b\nExamples:\n  pagerduty-agent init --tls\n  sudo pagerduty-agent init --system",
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
@pass_session
def init(session: Session, *, for_host: bool, tls: bool, tls_names: tuple[str, ...]) -> None:
    """Write a config file with a new secret and every option explained.

    The file is ~/.pagerduty-agent.yaml, or the one that --config names. Only its owner can read
    it. A file that is there already is never changed.

    With --system the agent is installed for the whole host, and each user of the group
    pagerduty-agent can send events. It can be repeated: what is there is left as it is.
    """
    names = _checked(tls_names) if tls else None
    if tls_names and not tls:
        raise click.UsageError("--tls-name says for whom the certificate of --tls is: add --tls")
    if for_host:
        _install(session, names)
        return
    named = session.config_file or os.environ.get(CONFIG_ENV)
    path = config_path(named) if named else needed(user_file())
    try:
        write_config(path, tls_names=names)
    except FileExistsError as error:
        there = error.filename
        raise CommandFailed(
            f"{there} exists already and was left as it is: edit it, or remove it first"
        ) from None
    server = session.command("server")
    click.echo(f"Wrote {path} with a new secret. '{server}' starts the agent.")
    if tls:
        files = tls_files(path)
        click.echo(
            f"Wrote {files.certificate}, which clients have to trust, and its key {files.key}."
        )


def _install(session: Session, tls_names: tuple[str, ...] | None) -> None:
    from pdagent.installation import CannotInstall, install, next_steps

    if session.config_file:
        raise click.UsageError("--system writes /etc/pagerduty-agent.yaml: leave out --config")
    if os.geteuid() != 0:
        raise CommandFailed("--system needs root: run 'sudo pagerduty-agent init --system'")
    try:
        for line in install(tls_names):
            click.echo(line)
    except CannotInstall as error:
        raise CommandFailed(str(error)) from None
    click.echo(next_steps())


def _checked(names: tuple[str, ...]) -> tuple[str, ...]:
    from pdagent.config.certificates import is_name

    for name in names:
        if not is_name(name):
            raise click.UsageError(f"--tls-name: {name!r} is neither a host's name nor an address")
    return names
