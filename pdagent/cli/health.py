"""`pagerduty-agent health`: whether the agent is ready."""

from __future__ import annotations

import json

import click

from pdagent.cli.output import CommandFailed, ExitCode, echo_json
from pdagent.cli.session import Session, pass_session
from pdagent.wording import one_line

_UNWELL = 503
_SECONDS = 5.0


@click.command(
    short_help="Tell whether the agent is ready, and why not.",
    epilog="\b\nExamples:\n  pagerduty-agent health || echo 'look at: pagerduty-agent status'\n"
    "  pagerduty-agent health --live || systemctl restart pagerduty-agent\n"
    "  pagerduty-agent health --json | jq .ready",
)
@click.option("--live", is_flag=True, help="Only ask whether the process answers.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@pass_session
def health(session: Session, *, live: bool, as_json: bool) -> None:
    """Tell whether the agent is ready: OK and exit status 0, or the reasons and another one.

    Ready means that the journal can be written and that all actors are alive: then events are taken
    and delivered. Exit status: 0 ready, 1 it answers but isn't ready, 69 it does not answer. With
    --live, 0 whenever it answers.
    """
    try:
        lines = check_health(session, live=live)
    except CommandFailed as failure:
        if as_json:
            _print(ready=False, reasons=[str(failure)], notes=[])
        raise
    if as_json:
        _print(ready=True, reasons=[], notes=lines[1:])
        return
    for line in lines:
        click.echo(line)


def _print(*, ready: bool, reasons: list[str], notes: list[str]) -> None:
    echo_json(json.dumps({"ready": ready, "reasons": reasons, "notes": notes}))


def check_health(session: Session, *, live: bool = False) -> list[str]:
    """Ask the agent whether it is ready: `OK`, then notes, such as that PagerDuty accepts nothing.

    Raises:
        CommandFailed: It is not ready, or does not answer.
    """
    from pdagent.localclient.errors import NoAnswer, Refused

    address = session.loaded.calling.called_at
    with session.agent("nothing was asked", answer_seconds=_SECONDS) as client:
        try:
            answer = client.health(live=live)
        except NoAnswer as error:
            raise CommandFailed(
                f"the agent at {address} gave no answer ({error}): it hangs, or has too much to "
                "do; see its log, and restart it if this lasts",
                ExitCode.UNREACHABLE,
            ) from None
        except Refused as error:
            if error.status != _UNWELL:
                raise
            raise CommandFailed(f"the agent at {address} is not ready: {error}") from None
    return [one_line(line) for line in answer.splitlines()]
