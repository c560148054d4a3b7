"""`pagerduty-agent journal dump`: every record of a journal, one per line."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from pdagent.cli.journal.options import damaged, directory_argument, directory_of, journal_errors
from pdagent.cli.output import echo_json, say
from pdagent.cli.progress import Progress
from pdagent.cli.queue.words import told
from pdagent.cli.session import Session, pass_session
from pdagent.config.values import SECONDS_IN
from pdagent.occurrence import from_iso
from pdagent.wording import one_line

if TYPE_CHECKING:
    from store.inspection.journal_file import JournalFile
    from store.records import Entry

Wanted = Callable[["Entry"], bool]

_AGO = re.compile(r"(\d{1,9})([smhd])")
_ROUNDING = 1e-6  # a time as it is printed is that of its record but for this


def since(value: str) -> Wanted:
    """`4711` (a sequence number), `90m` (ago) or an ISO 8601 time (UTC if it names no zone)."""
    if value.isascii() and value.isdigit():
        first = int(value)
        return lambda entry: entry.seq >= first
    ago = _AGO.fullmatch(value)
    try:
        if ago is not None:
            begin = time.time() - int(ago[1]) * SECONDS_IN[ago[2]]
        else:
            begin = from_iso(value)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{value!r} is no sequence number (4711), no time (2026-08-01T12:00) and no age (90m)."
        ) from None
    return lambda entry: entry.record.at >= begin - _ROUNDING


@click.command(
    short_help="Print every record, one per line.",
    epilog="\b\nExample:\n  pagerduty-agent journal dump --since 2h --json | "
    "jq 'select(.record == \"EventDeadLettered\")'",
)
@directory_argument
@click.option(
    "--since",
    "wanted",
    type=since,
    metavar="SEQ|TIME|AGE",
    help="Only records from this sequence number (4711), time (2026-08-01T12:00) or age (90m) on.",
)
@click.option("--json", "as_json", is_flag=True, help="Print each as JSON, with the event's body.")
@pass_session
def dump(session: Session, *, directory: Path | None, wanted: Wanted | None, as_json: bool) -> None:
    """Print the records of the journal in order: what happened to which event, and when.

    Routing keys are masked. Changes nothing. Damaged records are left out and named on standard
    error; then the exit status is 1.
    """
    from store.inspection.journal_file import JournalFile

    place = directory_of(session, directory)
    with (
        journal_errors(session, directory),
        Progress(f"Reading {place}", beside_output=True) as progress,
        JournalFile(place, progress.watch) as file,
    ):
        for record in _records(session, file, wanted or (lambda entry: True)):
            echo_json(record) if as_json else click.echo(_line(record))
    for damage in file.damage:
        say("damage", str(damage))
    if file.damage:
        raise damaged(session, place, len(file.damage))


def _records(session: Session, file: JournalFile, wanted: Wanted) -> Iterator[dict[str, object]]:
    from pdagent.operating.lives import body_of, shown
    from pdagent.operating.names import QueueNames
    from store.records import EventAccepted, event_of

    names = QueueNames(session.loaded.config.routing_keys)
    called = {queue: names.of(key) for queue, key in file.queues.items()}
    for entry in file.entries():
        if not wanted(entry):
            continue
        record, event = entry.record, event_of(entry.record)
        fields = shown(record)
        head: dict[str, object] = {
            "seq": entry.seq,
            "at": fields.pop("at"),
            "record": fields.pop("record"),
            "queue": called.get(entry.queue, f"queue {entry.queue}"),
        }
        if event is not None:
            head["id"] = event
        if isinstance(record, EventAccepted):
            key = file.queues.get(entry.queue)
            # A queue that damage has made unknown has no key to mask; bodies hold none anyway.
            fields["event"] = msgspec.Raw(record.body) if key is None else body_of(record, key)
        yield head | fields


def _line(record: dict[str, object]) -> str:
    word, rest = told(record)
    event = record.get("id", "-")
    head = f"{record['seq']:>10}  {record['at']}  {word:<11}  {record['queue']}  {event}"
    return one_line(f"{head}  {rest}").rstrip()
