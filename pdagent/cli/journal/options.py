"""What the commands under `journal` share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from pdagent.cli.output import CommandFailed
from pdagent.cli.session import Session
from pdagent.config import needed
from pdagent.wording import counted
from store.environment import DATA_FILE, MARKER_FILE
from store.errors import (
    JournalDamagedError,
    JournalError,
    JournalLockedError,
    JournalMissingError,
)

DOCS = "'pagerduty-agent help damaged-journal'"

directory_argument = click.argument(
    "directory", required=False, metavar="[DIR]", type=click.Path(path_type=Path)
)


def directory_of(session: Session, given: Path | None) -> Path:
    """The directory that is meant."""
    return needed(session.loaded.config.database) if given is None else given


@contextmanager
def journal_errors(session: Session, given: Path | None = None) -> Iterator[None]:
    """Explain errors of the store, with the command that helps.

    `given` is the directory that the command line named, None if it is that of the config.
    """
    try:
        yield
    except JournalLockedError as error:
        holder = f"process {error.pid}" if error.pid else "another process"
        raise CommandFailed(
            f"the journal is in use by {holder}: stop the agent first "
            f"('{session.command('server', 'stop')}'), or ask it while it runs "
            f"('{session.command('queue', 'list')}')"
        ) from None
    except JournalDamagedError as error:
        place = directory_of(session, given)
        verifying = session.command("journal", "verify", str(place))
        raise CommandFailed(
            f"{error.where} is damaged: {error.what}; nothing was changed: '{verifying}' lists all "
            f"damage, '{_salvaging(session, place)}' saves what is intact ({DOCS})"
        ) from None
    except JournalMissingError as error:
        place = directory_of(session, given)
        if (place / MARKER_FILE).exists():
            raise CommandFailed(
                f"the journal {place} has lost its file {DATA_FILE}, without which nothing can be "
                "read or saved: restore it from a backup, or move the directory away and the agent "
                f"begins a new journal ({DOCS})"
            ) from None
        if given is None:
            raise CommandFailed(session.with_options(str(error))) from None
        raise CommandFailed(
            f"there is no journal in {given}: give the directory that holds its {DATA_FILE}"
        ) from None
    except JournalError as error:
        raise CommandFailed(str(error)) from None
    except PermissionError as error:
        raise CommandFailed(
            f"can't read {error.filename} ({error.strerror}): run this as root, or as the user of "
            "the agent"
        ) from None


def damaged(session: Session, place: Path, count: int) -> CommandFailed:
    """The error of a command that has found damage."""
    return CommandFailed(
        f"the journal {place} is damaged in {counted(count, 'place')}: "
        f"'{_salvaging(session, place)}' saves what is intact, {DOCS} says how to go on"
    )


def _salvaging(session: Session, place: Path) -> str:
    return session.command("journal", "salvage", "NEW_DIR", "--from", str(place))
