"""`pagerduty-agent relay resend`: sends to the relays again what this host has forwarded."""

from __future__ import annotations

import json
import time

import click

from pdagent.cli.output import CommandFailed, ExitCode, echo_json, say
from pdagent.cli.parameters import json_option
from pdagent.cli.progress import Progress
from pdagent.cli.session import UNDONE, Session, pass_session
from pdagent.config.values import seconds_of
from pdagent.occurrence import read
from pdagent.wording import counted, one_line

_PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0)  # seconds, while no relay takes events
_ANSWER_SECONDS = 120.0


@click.command(
    short_help="Send to the relays again what this host has forwarded.",
    epilog="\b\nExamples:\n  pagerduty-agent relay resend --since 2h"
    "\n  pagerduty-agent relay resend --since 2026-08-01T10:00:00Z",
)
@click.option(
    "--since",
    required=True,
    metavar="TIME",
    help="From when on: ISO 8601, seconds since 1970, or how long ago (2h, 3d).",
)
@json_option
@pass_session
def resend(session: Session, *, since: str, as_json: bool) -> None:
    """Send to the relays again what this host has forwarded since TIME, if they have lost it.

    The events keep their ids: what a relay still has is not delivered a second time. Each key's
    events are sent in their order. Choose a TIME after which this host has used relays.
    """
    at = _time(since)
    total = {"sent": 0, "already_there": 0, "refused": 0}
    after: str | None = None
    failures = 0
    with (
        session.agent(UNDONE, answer_seconds=_ANSWER_SECONDS) as client,
        Progress("Sending") as progress,
    ):
        while True:
            answer = client.json("/relay/resend", wish={"since": at, "after": after})
            total["sent"] += int(answer["sent"])
            total["already_there"] += int(answer["already_there"])
            total["refused"] += int(answer["refused_count"])
            for event, reason in answer["refused"].items():
                say("warning", f"{event}: {one_line(reason)}")
            progress.reached(sum(total.values()), None, counted(sum(total.values()), "event"))
            moved, after = after != answer["next"], answer["next"]
            if after is None:
                break
            failures = 0 if moved or answer["error"] is None else failures + 1
            if failures == len(_PAUSES):
                _tell(total, as_json)
                raise CommandFailed(
                    f"no relay takes events now: {one_line(answer['error'])}; run the command "
                    "again later, nothing is delivered twice",
                    ExitCode.REFUSED_FOR_NOW,
                )
            time.sleep(_PAUSES[failures] if answer["error"] else 0.0)
    _tell(total, as_json)


def _time(text: str) -> float:
    try:
        return time.time() - seconds_of(text) if text[-1:] in "smhd" else _moment(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is neither ISO 8601, nor seconds since 1970, nor a time such as 2h",
            param_hint="--since",
        ) from None


def _moment(text: str) -> float:
    at = read(text)
    if at is None:
        raise ValueError(text)
    return at


def _tell(total: dict[str, int], as_json: bool) -> None:
    if as_json:
        echo_json(json.dumps(total))
    else:
        click.echo(
            f"{counted(total['sent'], 'event')} sent, {total['already_there']:,} already there, "
            f"{total['refused']:,} refused"
        )
