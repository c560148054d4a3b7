"""`notify test`: whether people would learn of stuck pages."""

from __future__ import annotations

import click

from pdagent.cli.output import CommandFailed, echo_json
from pdagent.cli.parameters import json_option
from pdagent.cli.session import Session, pass_session
from pdagent.wording import one_line

# A command has a minute, and so has a mail; an alert has 20 s.
_ANSWER_SECONDS = 150.0


@click.group(epilog="\b\nExample:\n  pagerduty-agent notify test")
def notify() -> None:
    """Try how people learn of stuck pages.

    The settings below 'notify' in the config say who is told, and by which channel.
    """


@notify.command(epilog="\b\nExample:\n  pagerduty-agent notify test --json")
@json_option
@pass_session
def test(session: Session, *, as_json: bool) -> None:
    """Have the running agent use each channel once, with a text that says it is a test.

    The routing key gets an alert that is resolved at once. Exit status: 0 if all channels work, 1
    if one doesn't or none is set.
    """
    with session.agent("nothing was tested", answer_seconds=_ANSWER_SECONDS) as client:
        answer = client.json("/notify/test", wish={})
    results = answer["results"]
    if as_json:
        echo_json(answer)
    else:
        for result in results:
            error = result["error"]
            outcome = "done" if error is None else f"FAILED: {one_line(error)}"
            click.echo(f"{result['channel']}: {outcome}")
    if not results:
        where = session.loaded.file or "its config"
        raise CommandFailed(
            "the agent has no channel: set routing_key, command or email below 'notify' in "
            f"{where}, and restart the agent"
        )
    failed = [result["channel"] for result in results if result["error"] is not None]
    if failed:
        raise CommandFailed(f"people would not be told by {', '.join(failed)}: correct 'notify'")
