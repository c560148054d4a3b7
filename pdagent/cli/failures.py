"""How commands end: their exit codes, and how they say what went wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum

import click


class ExitCode(IntEnum):
    """What scripts may rely on; 69 and 75 are EX_UNAVAILABLE and EX_TEMPFAIL of sysexits.h."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 69
    REFUSED_FOR_NOW = 75


UNDONE = "nothing was changed"
LOOKED = "there is nothing to show"
"""What it means for a command that changes something, or only looks, that no agent answers."""


class CommandFailed(Exception):
    """A command can't do what it was asked; the message becomes one line on standard error."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def say(kind: str, message: str) -> None:
    """Write `kind: message` to standard error, as one printable line whatever is in `message`."""
    printable = "".join(c if c.isprintable() else " " for c in message)
    # With standard error gone, the exit code is the only one left to tell.
    with suppress(OSError):
        click.echo(f"{kind}: {' '.join(printable.split())}", err=True)


@contextmanager
def perhaps_unread() -> Iterator[None]:
    """For output that may find no reader while the exit status still has something to tell."""
    try:
        yield
    except BrokenPipeError:
        abandon_output()


def abandon_output() -> None:
    """Send what is left of standard output nowhere, so that Python doesn't fail on it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
