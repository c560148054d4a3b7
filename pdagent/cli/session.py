"""What one invocation's commands share: its settings, and its way to the agent."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pdagent.cli.endings import PROGRAM
from pdagent.cli.output import CommandFailed, ExitCode, say
from pdagent.config import ConfigError, needed
from pdagent.config.loading import SYSTEM_FILE, Loaded, load, load_what_can_be_used
from pdagent.wording import nearest

if TYPE_CHECKING:
    from pdagent.localclient import LocalClient
    from pdagent.localclient.errors import AgentError, NoAnswer

# Patterns that few commands use: compiling them takes longer than most of the rest.
_SERVER = rf"\b{PROGRAM} server(?: stop)?\b"
_COMMAND_LINE = rf"\b{PROGRAM} (?=(?:queue|status|health|journal|server|init)\b)"
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

    def checked(self) -> tuple[Loaded, list[ConfigError]]:
        """The settings that can be used, and what is wrong with the others.

        Raises:
            ConfigError: The config file itself can't be used.
        """
        return load_what_can_be_used(self._flags, os.environ, config_file=self.config_file)

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
            yield LocalClient(self.loaded.calling, answer_seconds=answer_seconds)
        except AgentError as error:
            raise self.explained(error, undone) from None

    def explained(self, error: AgentError, undone: str) -> CommandFailed:
        """`error` for people who know nothing of HTTP, with what to do next."""
        from pdagent.localclient.errors import (
            NoAnswer,
            NotPermitted,
            Refused,
            Unreachable,
            WrongTls,
        )

        address, why = self.loaded.calling.called_at, self.with_options(str(error))
        match error:
            case WrongTls():
                return CommandFailed(f"{why}; {undone}", ExitCode.UNREACHABLE)
            case Unreachable():
                return CommandFailed(
                    f"no agent answers at {address} ({why}): {undone}; "
                    f"'{self.command('server')}' starts it",
                    ExitCode.UNREACHABLE,
                )
            case NotPermitted():
                return not_permitted(Path(address), why, undone)
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
            f"the agent at {self.loaded.calling.called_at} did not confirm the event ({error}): it "
            f"isn't known whether the event is stored; {again}"
        )

    def _wrong_secret(self) -> str:
        config, file, origins, _, unread = self.loaded
        head = f"the agent at {self.loaded.calling.called_at} "
        if "secret" in unread:
            return f"{head}does this for root, and with the secret only: {unread['secret']}"
        if not config.secret:
            where = f"'secret' in {file or 'a config file'}"
            return f"{head}requires a secret and none is set: set {where}, or --secret"
        if config.accept_secrets:
            return (
                f"{head}is a relay: it takes events from hosts, with one of its accept_secrets; "
                "its operators need 'secret'"
            )
        return (
            f"{head}does not accept the secret from {origins['secret']}: "
            "use the one that the agent was started with (restart it after a change of its config)"
        )

    def command(self, *words: str) -> str:
        """A command line for people to copy: with the global options of this one, but no secret."""
        import shlex

        if words[:1] == ("server",) and self.is_of_the_host:
            from pdagent.installation import service_command

            return service_command("stop" if "stop" in words else "start")
        options = ["--config", self.config_file] if self.config_file else []
        if address := self._flags.get("address"):
            options += ["--address", address]
        return shlex.join([PROGRAM, *options, *words])

    def with_options(self, text: str) -> str:
        """`text` with the global options of this command in the command lines that it names."""
        if self.is_of_the_host:
            text = text.replace("see the agent's log", "journalctl -u pagerduty-agent")
            text = re.sub(_SERVER, lambda found: self.command(*found[0].split()[1:]), text)
        command = self.command()
        return re.sub(_COMMAND_LINE, lambda found: f"{command} ", text)

    @property
    def is_given(self) -> bool:
        """Whether one of the global options was given."""
        return self.config_file is not None or any(self._flags.values())

    @property
    def is_of_the_host(self) -> bool:
        """Whether the settings are those of the whole host: its service manager runs the agent."""
        return self._loaded is not None and self._loaded.file == SYSTEM_FILE

    def routing_key(self, given: str) -> str:
        """The routing key that `given` is, or that it names as `@name`.

        Raises:
            click.UsageError: The config has no such name.
            CommandFailed: This user may not read the file with the names.
        """
        if not given.startswith("@"):
            return given
        named = self.loaded.config.routing_keys
        name = given[1:]
        if name in named:
            return named[name]
        if unread := self.loaded.unread.get("routing_keys"):
            path = needed(self.loaded.config.routing_keys_file)
            raise not_permitted(path, unread, "nothing was done", access=stat.S_IRGRP)
        file = self.loaded.config.routing_keys_file or self.loaded.file
        where = f" of {file}" if file else ""
        known = f"; known are {', '.join(named)}" if named else " (there are none)"
        near = nearest(name, named)
        hint = f": did you mean @{near}?" if near else known
        raise click.UsageError(f"no key is named {name!r} in routing_keys{where}{hint}")


def not_permitted(
    path: Path, why: str, undone: str, *, access: int = stat.S_IWGRP
) -> CommandFailed:
    """The error that this user may not use `path`: `why`, or how to join the group that may."""
    from pdagent.membership import how_to_join

    joining = how_to_join(path, access=access)
    return CommandFailed(f"{joining or why}; {undone}", ExitCode.UNREACHABLE)


pass_session = click.make_pass_decorator(Session)
