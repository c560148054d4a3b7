"""What one invocation's commands share: its settings, and its way to the agent."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from pdagent.cli.output import CommandFailed, ExitCode, say
from pdagent.config.loading import Loaded, load
from pdagent.wording import nearest

if TYPE_CHECKING:
    from pdagent.localclient import LocalClient
    from pdagent.localclient.errors import AgentError, NoAnswer

_PROGRAM = "pagerduty-agent"
_COMMAND_LINE = re.compile(rf"\b{_PROGRAM} (?=(?:queue|status|health|journal|server|init)\b)")
_UNAUTHORIZED = 401
_ABOUT_WHAT_IS_NAMED = (404, 409)
_INVALID = (400, 413, 422)

UNDONE = "nothing was changed"
LOOKED = "there is nothing to show"
"""The consequence if the agent can't be reached: of a command that changes something, and of one
that only reads."""


class Session:
    """The global options of one invocation; the config is read when a command first needs it.

    `config_file` is what `--config` named, `flags` are settings given as options, by name.
    """

    def __init__(self, config_file: str | None, flags: dict[str, str | None]) -> None:
        self.config_file = config_file
        self._flags = flags
        self._loaded: Loaded | None = None

    def load(self, **flags: str | None) -> Loaded:
        """The settings, with a command's own `flags` on top; warnings about them are printed.

        Raises:
            ConfigError: They can't be used.
        """
        loaded = load({**self._flags, **flags}, os.environ, config_file=self.config_file)
        if self._loaded is None:
            for warning in loaded.warnings:
                say("warning", warning)
        self._loaded = loaded
        return loaded

    @property
    def loaded(self) -> Loaded:
        """The settings, read once."""
        return self._loaded or self.load()

    @contextmanager
    def agent(
        self, undone: str = "nothing was stored", *, answer_seconds: float = 30.0
    ) -> Iterator[LocalClient]:
        """The agent's client for the length of a `with` block; a failed call ends the command.

        `undone` is the consequence if the agent can't be reached or refuses for now. It has
        `answer_seconds` for each answer.

        Raises:
            CommandFailed: A call failed; the message says why, with the exit code that fits.
        """
        # Slow to load; commands that don't call the agent do without it.
        from pdagent.localclient import LocalClient
        from pdagent.localclient.errors import AgentError

        try:
            yield LocalClient(self.loaded.config, answer_seconds=answer_seconds)
        except AgentError as error:
            raise self.explained(error, undone) from None

    def explained(self, error: AgentError, undone: str) -> CommandFailed:
        """`error` for people who know nothing of HTTP, with what to do next."""
        from pdagent.localclient.errors import NoAnswer, Refused, Unreachable, WrongTls

        address, why = self.loaded.config.address, self.with_options(str(error))
        match error:
            case WrongTls():
                return CommandFailed(f"{why}; {undone}", ExitCode.UNREACHABLE)
            case Unreachable():
                return CommandFailed(
                    f"no agent answers at {address} ({why}): {undone}; "
                    f"'{self.command('server')}' starts it",
                    ExitCode.UNREACHABLE,
                )
            case NoAnswer():
                known = undone if undone == LOOKED else "it isn't known whether it did as asked"
                return CommandFailed(
                    f"the agent at {address} gave no answer ({why}): {known}; "
                    f"'{self.command('health')}' shows its state"
                )
            case Refused(status=status) if status == _UNAUTHORIZED:
                return CommandFailed(self._wrong_secret())
            case Refused() if error.for_now:
                why = why.removesuffix("; retry later")
                wait = "later" if error.retry_after is None else f"in {error.retry_after:.0f} s"
                return CommandFailed(
                    f"the agent takes nothing for now: {why}; {undone}, try again {wait}",
                    ExitCode.REFUSED_FOR_NOW,
                )
            case Refused(status=status) if status in _ABOUT_WHAT_IS_NAMED:
                return CommandFailed(why)
            case Refused(status=status):
                code = ExitCode.USAGE if status in _INVALID else ExitCode.FAILED
                return CommandFailed(f"the agent refused this: {why}", code)
            case _:
                return CommandFailed(f"{why}: set its address with --address or in the config")

    def unconfirmed(self, error: NoAnswer, key: str | None) -> CommandFailed:
        """The agent may have stored an event, or not.

        `key` is its Idempotency-Key, None for a command without this option.
        """
        again = "send it again, under the same incident or dedup key it opens no second incident"
        if key is not None:
            again = (
                f"send the same again with --idempotency-key '{key}', and nothing is stored twice"
            )
        return CommandFailed(
            f"the agent at {self.loaded.config.address} did not confirm the event ({error}): it "
            f"isn't known whether the event is stored; {again}"
        )

    def _wrong_secret(self) -> str:
        config, file, origins, _ = self.loaded
        head = f"the agent at {config.address} "
        if not config.secret:
            where = f"'secret' in {file or 'a config file'}"
            return f"{head}requires a secret and none is set: set {where}, or --secret"
        return (
            f"{head}does not accept the secret from {origins['secret']}: "
            "use the one that the agent was started with (restart it after a change of its config)"
        )

    def command(self, *words: str) -> str:
        """A command line for people to copy: with the global options of this one, but no secret."""
        import shlex

        options = ["--config", self.config_file] if self.config_file else []
        if address := self._flags.get("address"):
            options += ["--address", address]
        return shlex.join([_PROGRAM, *options, *words])

    def with_options(self, text: str) -> str:
        """`text` with the global options of this command in the command lines that it names."""
        command = self.command()
        return _COMMAND_LINE.sub(lambda found: f"{command} ", text)

    def routing_key(self, given: str) -> str:
        """The routing key that `given` is, or that it names as `@name`.

        Raises:
            click.UsageError: The config has no such name.
        """
        if not given.startswith("@"):
            return given
        named = self.loaded.config.routing_keys
        name = given[1:]
        if name in named:
            return named[name]
        where = f" of {self.loaded.file}" if self.loaded.file else ""
        known = f"; known are {', '.join(named)}" if named else " (there are none)"
        near = nearest(name, named)
        hint = f": did you mean @{near}?" if near else known
        raise click.UsageError(f"no key is named {name!r} in routing_keys{where}{hint}")


pass_session = click.make_pass_decorator(Session)
