"""`pagerduty-agent journal`: inspect and repair the journal of a stopped agent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from pdagent.cli.journal.dump import dump
from pdagent.cli.journal.options import (
    DOCS,
    damaged,
    directory_argument,
    directory_of,
    journal_errors,
)
from pdagent.cli.output import CommandFailed, echo_json, perhaps_unread
from pdagent.cli.progress import Progress
from pdagent.cli.session import Session, pass_session
from pdagent.wording import counted

if TYPE_CHECKING:
    from actors.verification import Verification

_MIB = 1 << 20


@click.group(
    no_args_is_help=False,
    short_help="Verify, dump, compact or salvage a stopped agent's journal.",
    epilog="\b\nExample:\n  pagerduty-agent journal verify",
)
def journal() -> None:
    """Verify, dump, compact or salvage the journal of an agent that does not run.

    DIR is the journal's directory, or that of a copy; without it, 'database' of the config.
    """


@journal.command(
    short_help="Check every byte; change none.",
    epilog="\b\nExample:\n  pagerduty-agent journal verify /backup/journal",
)
@directory_argument
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@pass_session
def verify(session: Session, *, directory: Path | None, as_json: bool) -> None:
    """Read the whole journal and print each damage on its own line.

    Checks checksums, order and indexes, and that the records, replayed, give what the snapshots
    say. Changes nothing. Exit status 0 if the journal is whole, 1 if it is damaged.
    """
    from actors.verification import verify as verified

    place = directory_of(session, directory)
    with journal_errors(session, directory), Progress(f"Verifying {place}") as progress:
        found = verified(place, progress.watch)
    with perhaps_unread():
        _print(found, place, as_json=as_json)
    if found.damage:
        raise damaged(session, place, len(found.damage))


def _print(found: Verification, place: Path, *, as_json: bool) -> None:
    if as_json:
        told = msgspec.to_builtins(found)
        echo_json({"directory": str(place), **told})
    else:
        for damage in found.damage:
            click.echo(str(damage))
        what = "is whole" if not found.damage else "holds besides"
        click.echo(
            f"The journal {place} {what}: {counted(found.records, 'record')}, "
            f"{counted(found.queues, 'key')}, {found.waiting:,} waiting, {found.dead:,} dead "
            f"letters, {counted(found.snapshots, 'snapshot')}."
        )


@journal.command(
    short_help="Return unused space to the file system.",
    epilog="\b\nExample:\n  pagerduty-agent journal compact",
)
@directory_argument
@pass_session
def compact(session: Session, *, directory: Path | None) -> None:
    """Return the space of removed records to the file system.

    A running agent reuses that room, so this is worth it only after the journal was
    once much larger. The new file is compared with the old one before it takes its place. A damaged
    journal is refused and left as it is.
    """
    from store.inspection.compaction import compact as compacted

    place = directory_of(session, directory)
    with journal_errors(session, directory), Progress(f"Compacting {place}") as progress:
        before, after = compacted(place, progress.watch)
    click.echo(
        f"Compacted {place}: {before / _MIB:.1f} MB before, {after / _MIB:.1f} MB now. The new "
        "file has replaced the old one, which is gone."
    )


@journal.command(
    short_help="Save what is intact in a damaged one.",
    epilog="\b\nExample:\n  pagerduty-agent journal salvage /var/lib/pagerduty-agent/salvaged",
)
@click.argument("directory", metavar="NEW_DIR", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "source",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The damaged journal, or a copy of it. [default: 'database' of the config]",
)
@pass_session
def salvage(session: Session, *, directory: Path, source: Path | None) -> None:
    """Write all that is intact in a damaged journal as a new one into NEW_DIR.

    The damaged one is not changed. An event whose delivery was noted in a lost record is
    delivered once more. Exit status 1 if it can't be known which events are lost.
    """
    from actors.salvage import salvage as salvaged

    place = directory_of(session, source)
    with journal_errors(session, source), Progress(f"Reading {place}") as progress:
        saved = salvaged(place, directory, progress.watch)
    for damage in saved.damage:
        click.echo(str(damage))
    for event in saved.lost:
        click.echo(f"lost: event {event}")
    if saved.may_have_lost_more and not saved.records:
        raise CommandFailed(
            f"NOTHING could be read of {place}, no event is saved and it isn't known which are "
            f"lost: {directory} is a journal without events; keep the damaged one, and restore a "
            f"backup if there is one ({DOCS})"
        )
    lost = f"{counted(len(saved.lost), 'event')} lost"
    if saved.may_have_lost_more:
        lost += " that are known by name, it isn't known how many besides"
    waits = "1 event waits" if saved.waiting == 1 else f"{saved.waiting:,} events wait"
    click.echo(
        f"Saved {counted(saved.records, 'record')} in {directory}: {waits} for delivery, "
        f"{counted(saved.dead, 'dead letter')}. {saved.left_out:,} records were left out, "
        f"{lost}. {place} is unchanged."
    )
    config = session.loaded.config
    if place == config.database:
        click.echo("To use it, move the damaged one away and the new one in its place:")
        click.echo(f"    mv {place} {place}.damaged && mv {directory} {place}")
    if saved.may_have_lost_more:
        raise CommandFailed(
            f"{directory} holds what could be read; it isn't known which events are lost: "
            f"keep {place}, and see {DOCS}"
        )


journal.add_command(dump)
