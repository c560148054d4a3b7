"""`python -m pdagent.sandbox`: the same command as `pagerduty-agent sandbox`."""

from __future__ import annotations

import sys

import click

from pdagent.cli.sandbox import sandbox


def main() -> int:
    """Run the command; errors are one line on standard error, and an exit code."""
    try:
        sandbox.main(prog_name="python -m pdagent.sandbox", standalone_mode=False)
    except click.ClickException as error:
        click.echo(f"Error: {error.format_message()}", err=True)
        return error.exit_code
    except click.Abort:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
