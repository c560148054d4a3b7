"""How a command ends: errors become one line on standard error, and exit codes for scripts."""

from __future__ import annotations

import errno
import gc
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from pdagent.cli.output import CommandFailed, ExitCode, abandon_output, say
from pdagent.config import ConfigError, FlagError, StartRefused
from pdagent.masking import without_keys
from pdagent.wording import one_line

PROGRAM = "pagerduty-agent"

# Errors of writing; files that commands write to have their names in theirs.
_OF_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


@contextmanager
def failures_logged() -> Iterator[None]:
    """Write the line of a failure to syslog too: nobody sees the output of a daemon's commands."""
    try:
        yield
    except (click.exceptions.Exit, BrokenPipeError):
        raise
    except Exception as error:
        import syslog  # only for this

        message, _ = _explained(error)
        syslog.openlog(PROGRAM)
        syslog.syslog(syslog.LOG_ERR, f"error: {one_line(message)}")
        raise


class LoggedCommand(click.Command):
    """A command whose failures are logged, wrong options included. It starts fast."""

    def make_parser(self, ctx: click.Context) -> Any:
        """As click does, but a short option is not first looked for among the long ones.

        For each one that it does not find there, click loads difflib and looks for similar names.
        """
        parser: Any = super().make_parser(ctx)
        process = parser._process_opts

        def process_opts(word: str, state: object) -> None:
            is_short = len(word) == 2
            (parser._match_short_opt if is_short else process)(word, state)

        parser._process_opts = process_opts
        return parser

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """As click does."""
        with failures_logged():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """As click does."""
        with failures_logged():
            return super().invoke(ctx)


@contextmanager
def failure_said() -> Iterator[None]:
    """Have a failure cost one line on standard error, and nothing else."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the exit status is another's
        say("error", _explained(error)[0])


def ended(work: Callable[[], object]) -> int:
    """Run `work` and return the exit code: what it returned if that is one, or that of its error.

    Any failure is one line on standard error that begins with `error: `.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal without UTF-8 shows a '?' instead of ending the command.
            stream.reconfigure(errors="replace")
    try:
        code = work()
        if sys.stdout is not None:
            sys.stdout.flush()
        return code if isinstance(code, int) else ExitCode.DONE
    except (SystemExit, BrokenPipeError):
        # The reader stopped early, as `head` does: that is no failure. For click it is an exit.
        abandon_output()
        return ExitCode.DONE
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - a traceback helps no user
        if isinstance(error, OSError):
            abandon_output()
        message, exit_code = _explained(error)
        say("error", message)
        return exit_code
    finally:
        gc.freeze()  # the process ends: its last collection need not look through everything


def _explained(error: BaseException) -> tuple[str, int]:
    """The message for `error`, without keys that were given in the wrong place; its exit code."""
    from pdagent.integrations.event import Unusable  # it takes long to load

    message, code = str(error), int(ExitCode.FAILED)
    match error:
        case click.UsageError():
            path = error.ctx.command_path if error.ctx else PROGRAM
            message = f"{error.format_message()} ('{path} --help' explains)"
            code = ExitCode.USAGE
        case click.ClickException():
            message, code = error.format_message(), error.exit_code
        case CommandFailed():
            code = error.exit_code
        case FlagError() | Unusable():
            code = ExitCode.USAGE
        case ConfigError() | StartRefused():
            pass
        case click.Abort() | KeyboardInterrupt():
            message = "interrupted"
            if not isinstance(error.__context__, EOFError):  # the end of input at a question
                code = ExitCode.INTERRUPTED
        case OSError():
            message = _from_system(error)
        case _:
            message = _unexpected(error)
    return without_keys(message), code


def _from_system(error: OSError) -> str:
    why = error.strerror or type(error).__name__
    if error.filename:
        return f"{why}: {error.filename}"
    if error.errno in _OF_OUTPUT:
        return f"can't write to standard output: {why}"
    return why


def _unexpected(error: BaseException) -> str:
    # Not the error's own text: it may contain a credential.
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    place = f"{Path(step.tb_frame.f_code.co_filename).name}:{step.tb_lineno}" if step else "?"
    return f"unexpected {type(error).__name__} at {place}: this is a bug, please report this line"
