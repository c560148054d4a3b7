"""`pagerduty-agent status`: the whole picture."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import click

from pdagent.cli.output import CommandFailed, ExitCode, echo_json, of_another_version
from pdagent.cli.parameters import json_option, show_keys_option, text
from pdagent.cli.session import LOOKED, Session, pass_session
from pdagent.localclient import LocalClient
from pdagent.localclient.errors import AgentError, NoAnswer, Unreachable

if TYPE_CHECKING:
    from rich.console import Console

    from pdagent.dashboard.live.loop import Answer, Question
    from pdagent.dashboard.live.view import View
    from pdagent.dashboard.report import StatusReport

_SORTS = ("waiting", "oldest", "dead", "delivered", "error", "name")


@click.command(
    short_help="Show agent, PagerDuty, totals and every key; --watch stays.",
    epilog="\b\nExamples:\n  pagerduty-agent status --watch\n"
    "  pagerduty-agent status --json | jq .totals",
)
@click.option("-w", "--watch", is_flag=True, help="Stay and redraw; 'q' quits, '?' explains.")
@click.option("--fleet", is_flag=True, help="On a relay: the hosts that report to it instead.")
@json_option
@click.option("--sort", type=click.Choice(_SORTS), help="What stands first (default: waiting).")
@click.option(
    "--filter", "match", type=text, metavar="TEXT", help="Keys with TEXT in name or state."
)
@click.option(
    "--limit",
    type=click.IntRange(0),
    metavar="N",
    help="Print at most N keys; 0: all (default: as many as fit on a terminal, else all).",
)
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    metavar="SECONDS",
    help="Between two looks of --watch (default: 1).",
)
@show_keys_option
@pass_session
@click.pass_context
def status(
    context: click.Context,
    session: Session,
    *,
    watch: bool,
    fleet: bool,
    as_json: bool,
    sort: str | None,
    match: str | None,
    limit: int | None,
    interval: float,
    show_keys: bool,
) -> None:
    """Show the agent, PagerDuty as it sees it, totals, and a row per routing key.

    What is wrong and what to do about it stands above the table. DEAD counts events that PagerDuty
    refused; 'queue list' shows them. With --fleet: sums over the hosts that report to this relay,
    and the hosts that need attention; --filter and --limit are then about hosts.
    """
    if watch and (as_json or limit is not None):
        raise click.UsageError("--watch goes with neither --json nor --limit.")
    if fleet and (sort is not None or show_keys):
        raise click.UsageError("--fleet goes with neither --sort nor --show-keys.")
    query = {"sort": sort or "", "match": match or "", "show_keys": "1" if show_keys else ""}
    if fleet and not watch:
        from pdagent.cli.fleet import show_fleet

        show_fleet(session, match=match, limit=limit, as_json=as_json)
        return
    if as_json:
        with session.agent(LOOKED) as client:
            echo_json(client.json("/status", **query, limit=str(limit or "")))
        return
    # Drawing is loaded when something is drawn: commands that send events start without it.
    from rich.console import Console

    from pdagent.dashboard.report import status_report
    from pdagent.dashboard.table import print_status

    console = Console(highlight=False)
    if watch:
        _check_terminal(console)
        if fleet:
            from pdagent.cli.fleet import watch_fleet

            context.exit(watch_fleet(session, console, match=match, interval=interval))
        from pdagent.dashboard.live.view import View

        view = View(sort=sort or _SORTS[0], match=match or "")
        context.exit(_watched(session, console, view, interval, show_keys=show_keys))
    fit = limit is None
    if fit and console.is_terminal:
        limit = console.height
    query |= {"sort": sort or _SORTS[0], "limit": str(limit or "")}
    with session.agent(LOOKED) as client:
        answer = client.json("/status", **query)
    try:
        report = status_report(answer)
    except ValueError:
        raise of_another_version("a status") from None
    print_status(report, console, datetime.now(UTC), session.with_options, fit=fit)


def _check_terminal(console: Console) -> None:
    if not (console.is_terminal and sys.stdin.isatty()) or console.is_dumb_terminal:
        raise CommandFailed(
            "--watch needs a terminal that it can draw on: use 'status' or 'status --json' instead",
            ExitCode.USAGE,
        )


def _watched(
    session: Session, console: Console, view: View, interval: float, *, show_keys: bool
) -> int:
    from pdagent.dashboard.live.loop import Watch
    from pdagent.dashboard.live.screen import page_of, screen
    from pdagent.dashboard.live.seen import Seen

    client = LocalClient(session.loaded.calling)
    more = {"show_keys": "1"} if show_keys else {}
    watch = Watch(
        console,
        sys.stdin.fileno(),
        lambda question: _asked(client, question, more),
        interval=interval,
        seen=Seen(),
        view=view,
        page_of=page_of,
        screen=partial(screen, options=session.with_options),
    )
    return watch.run()


def _asked(
    client: LocalClient, question: Question, more: Mapping[str, str]
) -> Answer[StatusReport]:
    from pdagent.dashboard.live.loop import Answer
    from pdagent.dashboard.report import status_report

    query = {"sort": question.sort, "match": question.match}
    query |= {"offset": str(question.offset), "limit": str(question.limit), **more}
    try:
        return Answer(question, status_report(client.json("/status", **query)))
    except (Unreachable, NoAnswer) as error:
        return Answer(question, problem=str(error))
    except AgentError as error:
        return Answer(question, problem=f"it refuses to tell: {error}")
    except ValueError:
        return Answer(question, problem="its answer isn't a status: it is of another version")
