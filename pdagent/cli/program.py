"""The program: its commands, its global options, and the place where errors become lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import cast

import click

from pdagent import __version__
from pdagent.cli.completion import subjects
from pdagent.cli.endings import PROGRAM, ended
from pdagent.cli.output import echo_json
from pdagent.cli.session import Session
from pdagent.wording import nearest

_COMMANDS = {
    "init": "init:init",
    "server": "server:server",
    "send": "send:send",
    "enqueue": "enqueue:enqueue",
    "change": "change:change",
    "run": "run:run",
    "nagios": "integrations.nagios:nagios",
    "nagios enqueue": "integrations.nagios:enqueue",
    "zabbix": "integrations.zabbix:zabbix",
    "zabbix enqueue": "integrations.zabbix:enqueue",
    "sensu": "integrations.sensu:sensu",
    "sensu enqueue": "integrations.sensu:enqueue",
    "checkmk": "integrations.checkmk:checkmk",
    "checkmk enqueue": "integrations.checkmk:checkmk",
    "systemd": "integrations.systemd:systemd",
    "import": "importing:import_events",
    "queue": "queue:queue",
    "journal": "journal:journal",
    "relay": "relay:relay",
    "status": "status:status",
    "hosts": "hosts:hosts",
    "health": "health:health",
    "config": "checking:config",
    "notify": "notify:notify",
    "sandbox": "sandbox:sandbox",
    "demo": "demo:demo",
    "version": "program:version",
    "help": "program:help_command",
}


COMPLETING = "_PAGERDUTY_AGENT_COMPLETE"
"""The variable that a shell sets to ask what completes a line."""


class LazyGroup(click.Group):
    """Loads a command's module when the command is named, so that `send` starts fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order in which a new user needs them; no go-pdagent's spellings."""
        return [name for name in _COMMANDS if " " not in name]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, None if there is none."""
        if cmd_name not in _COMMANDS:
            return None
        file, _, name = _COMMANDS[cmd_name].partition(":")
        return cast(click.Command, getattr(import_module(f"pdagent.cli.{file}"), name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with names of two words, and the nearest name in the error."""
        if (name := " ".join(args[:2])) in _COMMANDS:
            return name, self.get_command(ctx, name), args[2:]
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            near = nearest(args[0], self.list_commands(ctx))
            hint = f" Did you mean {near!r}?" if near else ""
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExample:\n  pagerduty-agent send -k @database -t trigger -d 'Disk full'\n\n"
    "'pagerduty-agent help topics' lists the topics of the documentation.",
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


@click.command(
    "help",
    epilog="\b\nExamples:\n  pagerduty-agent help queue status\n"
    "  pagerduty-agent help dead-letters\n  pagerduty-agent help topics",
)
@click.argument("subject", nargs=-1, metavar="[COMMAND | TOPIC | topics]", shell_complete=subjects)
@click.pass_context
def help_command(context: click.Context, subject: tuple[str, ...]) -> None:
    """Explain the program, a COMMAND or a TOPIC."""
    from pdagent.cli import topics

    current = context.find_root()
    for name in [" ".join(subject)] if " ".join(subject) in _COMMANDS else subject:
        group = current.command
        found = group.get_command(current, name) if isinstance(group, click.Group) else None
        if found is None:
            _show_topic(" ".join(subject))
            return
        current = click.Context(found, info_name=name, parent=current)
    click.echo(current.get_help())
    for topic in topics.named(" ".join(subject)):
        click.echo(f"\n'pagerduty-agent help {topic.place}' shows: {topic.heading}.")


def _show_topic(words: str) -> None:
    from pdagent.cli import topics

    if words == "topics":
        for topic in topics.topics():
            indent = "  " if "#" in topic.place else "\n"
            click.echo(f"{indent}{topic.name}: {topic.heading}")
        return
    found = topics.find(words)
    if len(found) > 1:
        names = ", ".join(topic.place for topic in found[:8])
        raise click.UsageError(f"{words!r} is the name of several topics: {names}.")
    if not found:
        near = nearest(words, [*_COMMANDS, *(topic.name for topic in topics.topics())])
        hint = f"Did you mean {near!r}? " if near else ""
        raise click.UsageError(
            f"No such command or topic: {words!r}. {hint}"
            "'pagerduty-agent help topics' lists all topics."
        )
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markdown import Markdown

        console = Console()
        with console.pager(styles=True):
            console.print(Markdown(found[0].text, hyperlinks=False))
    else:
        click.echo(found[0].text, nl=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program with `arguments` (default: the process's own) and return its exit code.

    Any failure is one line on standard error that begins with `error: `.
    """
    if COMPLETING in os.environ:
        import pdagent.cli.bash  # noqa: F401 - it makes itself known to click
    return ended(
        lambda: program.main(
            arguments, prog_name=PROGRAM, complete_var=COMPLETING, standalone_mode=False
        )
    )
