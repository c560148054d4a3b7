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
    epilog="\b\nExample:\n  pagerduty-agent --config /etc/pagerduty-agent.yaml init\n"
    "  pagerduty-agent init --tls",
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
def init(session: Session, *, tls: bool, tls_names: tuple[str, ...]) -> None:
    """Write a config file with a new secret and every option explained.

    The file is ~/.pagerduty-agent.yaml, or the one that --config names. Only its owner can read
    it. A file that is there already is never changed.
    """
    names = _checked(tls_names) if tls else None
    if tls_names and not tls:
        raise click.UsageError("--tls-name says for whom the certificate of --tls is: add --tls")
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


def _checked(names: tuple[str, ...]) -> tuple[str, ...]:
    from pdagent.config.certificates import is_name

    for name in names:
        if not is_name(name):
            raise click.UsageError(f"--tls-name: {name!r} is neither a host's name nor an address")
    return names
