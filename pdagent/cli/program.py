"""The program: its commands, its global options, and the place where errors become lines."""

from __future__ import annotations

import errno
import gc
import io
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import cast

import click

from pdagent import __version__
from pdagent.cli.output import CommandFailed, ExitCode, abandon_output, echo_json, say
from pdagent.cli.session import Session
from pdagent.config import ConfigError, FlagError, StartRefused
from pdagent.masking import without_keys
from pdagent.wording import nearest

PROGRAM = "pagerduty-agent"
_COMMANDS = {
    "init": "init:init",
    "server": "server:server",
    "send": "send:send",
    "enqueue": "enqueue:enqueue",
    "change": "change:change",
    "queue": "queue:queue",
    "journal": "journal:journal",
    "status": "status:status",
    "health": "status:health",
    "notify": "notify:notify",
    "sandbox": "sandbox:sandbox",
    "demo": "demo:demo",
    "version": "program:version",
    "help": "program:help_command",
}

# Errors of writing; files that commands write to have their names in theirs.
_OF_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class LazyGroup(click.Group):
    """Loads a command's module when the command is named, so that `send` starts fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order in which a new user needs them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, None if there is none."""
        if cmd_name not in _COMMANDS:
            return None
        file, _, name = _COMMANDS[cmd_name].partition(":")
        return cast(click.Command, getattr(import_module(f"pdagent.cli.{file}"), name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name in the error."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            near = nearest(args[0], self.list_commands(ctx))
            hint = f" Did you mean {near!r}?" if near else ""
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExample:\n  pagerduty-agent send -k @database -t trigger -d 'Disk full'",
)
@click.option("--config", metavar="FILE", help="Config file. [env: PAGERDUTY_AGENT_CONFIG]")
@click.option(
    "-a",
    "--address",
    metavar="HOST:PORT",
    help="The agent's address. [env: PAGERDUTY_AGENT_ADDRESS]",
)
@click.option(
    "-s",
    "--secret",
    metavar="SECRET",
    help="The agent's secret. Prefer the config file: command lines are visible in process lists. "
    "[env: PAGERDUTY_AGENT_SECRET]",
)
@click.option(
    "--pidfile", metavar="FILE", help="The agent's pidfile. [env: PAGERDUTY_AGENT_PIDFILE]"
)
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
@click.pass_context
def program(
    context: click.Context,
    *,
    config: str | None,
    address: str | None,
    secret: str | None,
    pidfile: str | None,
) -> None:
    """Take events for PagerDuty, keep them safe, and deliver them in order.

    Exit status: 0 done, 1 failed, 2 wrong usage or invalid event, 69 no agent and nothing stored,
    75 refused for now.
    """
    context.obj = Session(config, {"address": address, "secret": secret, "pidfile": pidfile})
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@click.command(epilog="\b\nExample:\n  pagerduty-agent version")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def version(*, as_json: bool) -> None:
    """Print the version."""
    if as_json:
        echo_json({"version": __version__})
    else:
        click.echo(f"{PROGRAM} {__version__}")


@click.command("help", epilog="\b\nExample:\n  pagerduty-agent help queue status")
@click.argument("command", nargs=-1)
@click.pass_context
def help_command(context: click.Context, command: tuple[str, ...]) -> None:
    """Explain the program, or one COMMAND."""
    current = context.find_root()
    for name in command:
        group = current.command
        found = group.get_command(current, name) if isinstance(group, click.Group) else None
        if found is None:
            raise click.UsageError(f"No such command '{' '.join(command)}'.")
        current = click.Context(found, info_name=name, parent=current)
    click.echo(current.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program with `arguments` (default: the process's own) and return its exit code.

    Any failure is one line on standard error that begins with `error: `.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal without UTF-8 shows a '?' instead of ending the command.
            stream.reconfigure(errors="replace")
    try:
        code = program.main(arguments, prog_name=PROGRAM, standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code if isinstance(code, int) else ExitCode.DONE
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else PROGRAM
        return _failed(f"{error.format_message()} ('{path} --help' explains)", ExitCode.USAGE)
    except click.ClickException as error:
        return _failed(error.format_message(), error.exit_code)
    except CommandFailed as error:
        return _failed(str(error), error.exit_code)
    except FlagError as error:
        return _failed(str(error), ExitCode.USAGE)
    except (ConfigError, StartRefused) as error:
        return _failed(str(error), ExitCode.FAILED)
    except (click.Abort, KeyboardInterrupt):
        return _failed("interrupted", ExitCode.FAILED)
    except (SystemExit, BrokenPipeError):
        # The reader stopped early, as `head` does: that is no failure. For click it is an exit.
        abandon_output()
        return ExitCode.DONE
    except OSError as error:
        abandon_output()
        return _failed(_from_system(error), ExitCode.FAILED)
    except Exception as error:  # noqa: BLE001 - a traceback helps no user
        return _failed(_unexpected(error), ExitCode.FAILED)
    finally:
        gc.freeze()  # the process ends: its last collection need not look through everything


def _failed(message: str, code: int) -> int:
    # A key that was given in the wrong place must not be shown.
    say("error", without_keys(message))
    return code


def _from_system(error: OSError) -> str:
    why = error.strerror or type(error).__name__
    if error.filename:
        return f"{why}: {error.filename}"
    if error.errno in _OF_OUTPUT:
        return f"can't write to standard output: {why}"
    return why


def _unexpected(error: Exception) -> str:
    # Not the error's own text: it may contain a credential.
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    place = f"{Path(step.tb_frame.f_code.co_filename).name}:{step.tb_lineno}" if step else "?"
    return f"unexpected {type(error).__name__} at {place}: this is a bug, please report this line"
