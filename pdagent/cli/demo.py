"""`pagerduty-agent demo`: watch an outage and a crash, and what becomes of the events."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path
from types import FrameType

import click

from pdagent.cli.output import CommandFailed, ExitCode


@click.command(
    short_help="Watch events survive an outage and a crash.",
    epilog="\b\nExample:\n  pagerduty-agent demo",
)
@click.option(
    "--speed",
    type=click.FloatRange(0.2, 20),
    default=1.0,
    show_default=True,
    help="How fast to tell the story.",
)
@click.pass_context
def demo(context: click.Context, *, speed: float) -> None:
    """Watch how events survive an outage of PagerDuty and a kill of the agent (half a minute).

    A sandbox in PagerDuty's place and an agent run as processes of their own, in a temporary
    directory; nothing of yours is touched. Exit status 1 if an event was lost or out of order.
    """
    # Drawing and HTTP take a while to load, and no other command needs all of this.
    from rich.console import Console

    from pdagent.demo.processes import DemoFailed
    from pdagent.demo.story import Demo
    from pdagent.demo.view import LiveView, PlainView, verdict_lines

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    console = Console(highlight=False)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="pagerduty-agent-demo-") as directory,
            LiveView(console) if console.is_terminal else PlainView(console) as view,
        ):
            judgement = Demo(Path(directory), view, speed=speed).tell()
    except DemoFailed as error:
        raise CommandFailed(str(error)) from None
    for line in verdict_lines(judgement):
        click.echo(line)
    context.exit(ExitCode.DONE if judgement.promise_kept else ExitCode.FAILED)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # As with Ctrl-C, the processes are ended and the directory is removed on the way out.
    raise KeyboardInterrupt
