"""`pagerduty-agent hosts`: the hosts that report to a relay."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import click
import msgspec

from pdagent.cli.output import CommandFailed, ExitCode, echo_json, of_another_version
from pdagent.cli.parameters import json_option, text
from pdagent.cli.session import LOOKED, UNDONE, Session, pass_session
from pdagent.fleet.rows import HostRow
from pdagent.wording import one_line

HOSTS_PATH = "/relay/hosts"
_PAGE = 1_000
_ON_A_TERMINAL = 100


class _Rows(msgspec.Struct):
    matching: int
    hosts: list[msgspec.Raw]


class _Forgotten(msgspec.Struct):
    forgotten: list[str]
    unknown: list[str]


@click.group(
    invoke_without_command=True,
    short_help="List the hosts that report to a relay; forget those that are gone.",
    epilog="\b\nExamples:\n  pagerduty-agent hosts --missing\n"
    "  pagerduty-agent hosts --json | jq 'select(.waiting > 0)'\n"
    "  pagerduty-agent hosts forget web1",
)
@click.option("--missing", is_flag=True, help="Only hosts that have not reported for 90 seconds.")
@click.option(
    "--filter", "match", type=text, metavar="TEXT", help="Hosts with TEXT in name, id or version."
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    help=f"At most N hosts. [default: {_ON_A_TERMINAL} on a terminal, otherwise all]",
)
@json_option
@pass_session
@click.pass_context
def hosts(
    context: click.Context,
    session: Session,
    *,
    missing: bool,
    match: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """List the hosts that report to this relay: missing ones first, then those with trouble.

    SEEN is how long ago a host reported last. With --json, one object a line.
    """
    if context.invoked_subcommand is not None:
        return
    if limit is None and sys.stdout is not None and sys.stdout.isatty():
        limit = _ON_A_TERMINAL
    query = {"missing": "1" if missing else "", "match": match or ""}
    pages = _pages(session, query, limit)
    if as_json:
        for _, rows in pages:
            if rows:
                echo_json(b"\n".join(map(bytes, rows)))
        return
    from pdagent.cli.queue.drawing import Columns
    from pdagent.dashboard.fleet import COLUMNS, RIGHT, cells_of, styles_of

    table, now = Columns(RIGHT), datetime.now(UTC)
    count = matching = 0
    for matching, page in pages:  # noqa: B007 (the last one counts)
        try:
            read = [msgspec.json.decode(row, type=HostRow) for row in page]
        except msgspec.DecodeError:
            raise of_another_version("a list of hosts") from None
        cells = [cells_of(row, now) for row in read]
        if cells and not count:
            table.header(COLUMNS, cells)
        for row, texts in zip(read, cells, strict=True):
            table.row(texts, styles_of(row) if table.on_terminal else [])
        count += len(read)
    if not count:
        click.echo("No host matches." if missing or match else "No host has reported yet.")
    elif count < matching:
        table.say(f"These are {count:,} of {matching:,}: --limit {matching} shows all.")


def _pages(
    session: Session, query: dict[str, str], limit: int | None
) -> Iterator[tuple[int, list[msgspec.Raw]]]:
    """How many hosts there are, and at most `limit` of them in pages.

    A host that moves in the order meanwhile may be in two of the agent's pages: it comes once here.
    """
    seen: set[bytes] = set()
    offset, left = 0, limit
    while left is None or left > 0:
        size = _PAGE if left is None else min(_PAGE, left)
        with session.agent(LOOKED) as client:
            page_query = {**query, "offset": str(offset), "limit": str(size)}
            answer = client.call(HOSTS_PATH, None, wish=None, **page_query)
        try:
            page = msgspec.json.decode(answer, type=_Rows)
            ids = [msgspec.json.decode(row, type=HostRow).agent_id.encode() for row in page.hosts]
        except msgspec.DecodeError:
            raise of_another_version("a list of hosts") from None
        new = [row for row, id_ in zip(page.hosts, ids, strict=True) if id_ not in seen]
        seen.update(ids)
        yield page.matching, new
        offset += len(page.hosts)
        left = None if left is None else left - len(new)
        if offset >= page.matching or not page.hosts:
            return


@hosts.command(
    epilog="\b\nExamples:\n  pagerduty-agent hosts forget web1 web2\n"
    "  pagerduty-agent hosts forget --missing"
)
@click.argument("names", nargs=-1, type=text, metavar="[NAME]...")
@click.option("--missing", is_flag=True, help="All hosts that are missing.")
@pass_session
def forget(session: Session, *, names: tuple[str, ...], missing: bool) -> None:
    """Forget missing hosts by their NAMEs, or by the ids of their agents.

    For hosts that are gone for good. One that reports again is listed again.
    """
    if bool(names) == missing:
        raise click.UsageError("Name the hosts that are gone, or give --missing for all of them.")
    with session.agent(UNDONE) as client:
        answer = client.call(
            f"{HOSTS_PATH}/forget", wish={"names": list(names), "missing": missing}
        )
    try:
        done = msgspec.json.decode(answer, type=_Forgotten)
    except msgspec.DecodeError:
        raise of_another_version("a list of hosts") from None
    if done.forgotten or not done.unknown:
        gone = ", ".join(map(one_line, done.forgotten))
        click.echo(f"Forgotten: {gone or 'no host was missing'}.")
    if done.unknown:
        raise CommandFailed(
            f"no missing host is called {', '.join(done.unknown)}: a host that reports can't be "
            "forgotten, stop its agent and wait for 90 seconds",
            ExitCode.FAILED,
        )
