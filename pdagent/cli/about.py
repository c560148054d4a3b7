"""`pagerduty-agent version` and `pagerduty-agent help`."""

from __future__ import annotations

import click
import msgspec

from pdagent import __version__


@click.command(epilog="\b\nExample:\n  pagerduty-agent version")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def version(*, as_json: bool) -> None:
    """Print the version."""
    text = msgspec.json.encode({"version": __version__}).decode()
    click.echo(text if as_json else f"pagerduty-agent {__version__}")


@click.command("help", epilog="\b\nExample:\n  pagerduty-agent help queue status")
@click.argument("command", nargs=-1)
@click.pass_context
def help_command(context: click.Context, command: tuple[str, ...]) -> None:
    """Explain the program, or one COMMAND."""
    current = context.find_root()
    for name in command:
        group = current.command
        found = group.get_command(current, name) if isinstance(group, click.Group) else None
        if found is None:
            raise click.UsageError(f"No such command '{' '.join(command)}'.")
        current = click.Context(found, info_name=name, parent=current)
    click.echo(current.get_help())
