"""`pagerduty-agent init`: a config file to start from."""

from __future__ import annotations

import os

import click

from pdagent.cli.failures import CommandFailed
from pdagent.cli.session import Session, pass_session
from pdagent.config_loading import CONFIG_ENV, config_path, user_file
from pdagent.config_template import write_config


@click.command(epilog="\b\nExample:\n  pagerduty-agent --config /etc/pagerduty-agent.yaml init")
@pass_session
def init(session: Session) -> None:
    """Write a config file with a new secret and every option explained.

    The file is ~/.pagerduty-agent.yaml, or the one that --config names. Only its owner can read
    it. A file that is there already is never changed.
    """
    named = session.config_file or os.environ.get(CONFIG_ENV)
    path = config_path(named) if named else user_file()
    try:
        write_config(path)
    except FileExistsError:
        raise CommandFailed(
            f"{path} exists already and was left as it is: edit it, or remove it first"
        ) from None
    click.echo(f"Wrote {path} with a new secret. 'pagerduty-agent server' starts the agent.")
