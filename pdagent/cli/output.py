"""What commands print, for people and for programs, and how they end."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import Any

import click

from pdagent.wording import one_line


class ExitCode(IntEnum):
    """What scripts may rely on; 69 and 75 are those of sysexits.h, 130 that of a shell."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 69
    REFUSED_FOR_NOW = 75
    INTERRUPTED = 130


class CommandFailed(Exception):
    """A command can't do what it was asked; the message becomes one line on standard error."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def of_another_version(wanted: str) -> CommandFailed:
    """The error for an answer of the agent that is not what was `wanted`."""
    return CommandFailed(
        f"the agent's answer isn't {wanted}: it is of another version than this command, restart it"
    )


before_line: list[Callable[[], None]] = []
"""What makes room on the terminal for a line of `say`."""


def say(kind: str, message: str) -> None:
    """Write `kind: message` to standard error, as one printable line."""
    # If standard error is closed, only the exit code is left.
    with suppress(OSError):
        for make_room in before_line:
            make_room()
        click.echo(f"{kind}: {' '.join(one_line(message).split())}", err=True)


def echo_json(data: Any) -> None:
    """Print JSON: text or bytes as they are, anything else encoded.

    On a terminal, with escapes for all that isn't printable: control characters (C1,
    bidirectional) in an event's text could steer it or disguise a line. The JSON means the same.
    """
    if not isinstance(data, str | bytes):
        import msgspec  # it takes long to load

        data = msgspec.json.encode(data)
    text = data if isinstance(data, str) else data.decode()
    if not text.isprintable() and sys.stdout.isatty():
        text = "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    click.echo(text)


@contextmanager
def perhaps_unread() -> Iterator[None]:
    """For output whose reader may be gone: the exit status still matters."""
    try:
        yield
    except BrokenPipeError:
        abandon_output()


def abandon_output() -> None:
    """Discard further standard output, so that Python doesn't fail on it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
