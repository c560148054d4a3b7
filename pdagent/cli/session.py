"""What one invocation's commands share: its settings, and its way to the agent."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from pdagent.cli.failures import say
from pdagent.config.loading import Loaded, load

if TYPE_CHECKING:
    from pdagent.localclient import LocalClient

_PROGRAM = "pagerduty-agent"
_COMMAND_LINE = re.compile(rf"\b{_PROGRAM} (?=(?:queue|status|health|journal|server|init)\b)")


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
        self, undone: str = "nothing was stored", *, answer_seconds: float | None = None
    ) -> Iterator[LocalClient]:
        """The agent for the length of a `with` block; what it refuses ends the command.

        `undone` says what it means if the agent can't be reached or takes nothing for now. It has
        `answer_seconds` for an answer, or as long as is usual.

        Raises:
            CommandFailed: A call failed; it says why, with the exit code that fits.
        """
        # The HTTP client is the slowest import of all; commands that don't call do without it.
        from pdagent.cli.explanations import explained
        from pdagent.localclient import AgentError, LocalClient

        try:
            yield LocalClient(self.loaded.config, answer_seconds=answer_seconds)
        except AgentError as error:
            raise explained(error, self, undone) from None

    def command(self, *words: str) -> str:
        """A command line for people to copy: with the global options of this one, but no secret."""
        import shlex

        return shlex.join([_PROGRAM, *self._options(), *words])

    def with_options(self, text: str) -> str:
        """`text` of others, with the options of `command` in the command lines that it names."""
        command = self.command()
        return _COMMAND_LINE.sub(lambda found: f"{command} ", text)

    def _options(self) -> list[str]:
        options = ["--config", self.config_file] if self.config_file else []
        return options + (["--address", address] if (address := self._flags.get("address")) else [])

    def routing_key(self, given: str) -> str:
        """The key that `given` means: itself, or the key of that name when it reads `@name`.

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
        from difflib import get_close_matches

        nearest = get_close_matches(name, named, 1)
        hint = f": did you mean @{nearest[0]}?" if nearest else known
        raise click.UsageError(f"no key is named {name!r} in routing_keys{where}{hint}")


pass_session = click.make_pass_decorator(Session)
