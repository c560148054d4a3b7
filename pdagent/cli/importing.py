"""`pagerduty-agent import`: the events that wait, or failed, in the Python agent's queue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pdagent.cli.output import CommandFailed, ExitCode, echo_json, perhaps_unread, say
from pdagent.cli.parameters import receipt_options
from pdagent.cli.progress import Progress
from pdagent.cli.session import Session, pass_session
from pdagent.cli.trial import is_of_a_trial
from pdagent.masking import without_keys
from pdagent.wording import counted

if TYPE_CHECKING:
    from pdagent.localclient import LocalClient
    from pdagent.migration.queue_directory import DeliveredKeys, EventFile

_OF_THE_EVENT = (400, 413, 422)


@click.command(
    "import",
    short_help="Take over the events of PagerDuty's Python agent.",
    epilog="\b\nExample:\n  pagerduty-agent import /var/lib/pdagent/outqueue",
)
@click.argument("path", metavar="DIR")
@click.option(
    "--force",
    is_flag=True,
    help="Also failed events after which a later one of their alert was delivered: a trigger opens "
    "it again, a resolve closes it.",
)
@receipt_options
@pass_session
def import_events(session: Session, *, path: str, force: bool, receipt: str | None) -> None:
    """Take over the waiting and failed events of PagerDuty's Python agent; DIR is its queue.

    They are sent to the running agent in the order in which they were queued. Each file is moved to
    DIR/imported once its event is on disk. Repeat an interrupted import: nothing is stored twice.
    Stop the Python agent first.
    """
    from pdagent.migration.queue_directory import DirectoryInUse, NotAQueue, locate, locked

    stopped = None
    try:
        directory = locate(Path(path).absolute())
        with locked(directory):
            run = _Import(session, directory, force=force)
            try:
                run.take_over()
            except CommandFailed as failure:
                stopped = failure
    except NotAQueue as error:
        raise CommandFailed(str(error), ExitCode.USAGE) from None
    except DirectoryInUse:
        raise CommandFailed(
            f"another process takes events out of {directory}: stop the Python agent (systemctl "
            "stop pdagent) and repeat this command"
        ) from None
    except FileNotFoundError as error:
        raise CommandFailed(f"there is no {error.filename}", ExitCode.USAGE) from None
    except OSError as error:
        raise _impossible(error.filename or path, error) from None
    run.tell(receipt)
    if stopped is not None:
        raise stopped
    if run.refused:
        raise CommandFailed(
            f"{counted(len(run.refused), 'file')} in {directory} not imported, see above: correct "
            "or remove what is there",
            ExitCode.USAGE,
        )


def _impossible(what: str, error: OSError) -> CommandFailed:
    return CommandFailed(
        f"can't import {what} ({error.strerror}): this command has to read and move the Python "
        "agent's files: run it as root"
    )


class _Import:
    """One pass over a queue directory. `refused` has files with the reason why."""

    def __init__(self, session: Session, directory: Path, *, force: bool) -> None:
        self.refused: list[tuple[str, str]] = []
        self._session = session
        self._directory = directory
        self._force = force
        self._taken: Counter[str] = Counter()
        self._superseded: list[str] = []
        # What a trial takes over still has to be delivered.
        self._is_trial = is_of_a_trial(session.loaded.file)

    def take_over(self) -> None:
        """Send what is there to the agent, in order.

        Raises:
            CommandFailed: The agent takes no more, or a file can't be read or moved.
            OSError: The directory can't be read.
        """
        from pdagent.localclient import LocalClient
        from pdagent.migration.queue_directory import FAILED, DeliveredKeys, listing

        files, misnamed = listing(self._directory)
        for name in misnamed:
            self._refuse(without_keys(name), "its name is not TIME_KEY.txt")
        delivered = DeliveredKeys(
            self._directory, [file for file in files if file.folder == FAILED]
        )
        client = LocalClient(self._session.loaded.calling)
        with Progress(f"Importing {self._directory}") as progress:
            self._take_all(client, progress.watch(files, len(files)), len(files), delivered)

    def _take_all(
        self, client: LocalClient, files: Iterable[EventFile], total: int, delivered: DeliveredKeys
    ) -> None:
        from pdagent.localclient.errors import AgentError, NoAnswer

        for number, file in enumerate(files):
            left = f"{counted(total - number, 'event')} not imported yet"
            try:
                self._take(client, file, delivered)
            except NoAnswer as error:
                raise CommandFailed(
                    f"the agent did not confirm {file.shown} ({error}): {left}; repeat this "
                    "command, nothing is stored twice"
                ) from None
            except AgentError as error:
                raise self._session.explained(error, left) from None
            except OSError as error:
                raise _impossible(file.shown, error) from None

    def _take(self, client: LocalClient, file: EventFile, delivered: DeliveredKeys) -> None:
        from pdagent.localclient.errors import Refused
        from pdagent.migration.queue_directory import FAILED, EventFileRefused, read, set_aside

        try:
            body = read(self._directory, file)
            superseded = file.folder == FAILED and delivered.supersedes(file, body)
            if superseded and not self._force:
                self._superseded.append(file.shown)
                return
            receipt = client.send(
                "v1",
                body,
                idempotency_key=file.idempotency_key(body),
                # So that an old resolve does not close what a new command has just opened.
                occurred=f"{file.queued_at / 1e6:.6f}",
            )
        except EventFileRefused as why:
            self._refuse(file.shown, str(why))
            return
        except Refused as refusal:
            if refusal.status not in _OF_THE_EVENT:
                raise
            self._refuse(file.shown, str(refusal))
            return
        if not self._is_trial:
            set_aside(self._directory, file)
        self._taken[file.folder] += 1
        for warning in receipt.warnings:
            say("warning", f"{file.shown}: {warning}")

    def _refuse(self, shown: str, why: str) -> None:
        self.refused.append((shown, without_keys(why)))
        say("error", f"{shown}: {without_keys(why)}")

    def tell(self, form: str | None) -> None:
        """Print what was done, as `receipt_options` gives the form."""
        from pdagent.migration.queue_directory import FAILED, IMPORTED, WAITING

        waiting, failed = self._taken[WAITING], self._taken[FAILED]
        with perhaps_unread():
            if form == "json":
                counts = {"waiting": waiting, "failed": failed, "superseded": self._superseded}
                refused = [{"file": file, "error": why} for file, why in self.refused]
                echo_json({**counts, "refused": refused})
            elif form is None:
                click.echo(
                    f"Imported {counted(waiting + failed, 'event')} from {self._directory} "
                    f"({waiting:,} waiting, {failed:,} failed)."
                )
                if (waiting or failed) and not self._is_trial:
                    click.echo(f"Their files are in {self._directory / IMPORTED} now.")
        if self._is_trial:
            say("note", "this is a trial: all files are left where they are")
        if self._superseded:
            first, more = self._superseded[0], len(self._superseded) - 1
            say(
                "note",
                f"{counted(len(self._superseded), 'failed event')} left: a later event of the same "
                f"alert was delivered ({first}{f' and {more:,} more' if more else ''}); --force "
                "imports what is left",
            )
