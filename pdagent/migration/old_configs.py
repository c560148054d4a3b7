"""The config files of PagerDuty's older agents, in our settings.

The Python agent has `/etc/pdagent.conf` (INI), go-pdagent `~/.pdagent/config.yaml` or
`/etc/pdagent/config.yaml`; before its first release go-pdagent's was `~/.pagerduty-agent.yaml`.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pdagent.config import ConfigError
from pdagent.config.options import OPTIONS
from pdagent.config.reading import read_config_file
from pdagent.migration import OUTQUEUE

_LARGEST = 1 << 20  # bytes
# The Python agent's levels that we have under another name; it takes capitals as well.
_LOG_LEVELS = {"warn": "warning", "critical": "error", "fatal": "error"}
_SECTION = re.compile(r"\s*(?:[#;].*\n\s*)*\[")


class _Agent(NamedTuple):
    name: str
    settings: Mapping[str, str]
    """Ours for each of its own that we have."""
    without: Mapping[str, str]
    """Those that we don't have: what we do instead."""
    queue: Path | None
    """Where its events wait, if they can be imported."""


_PYTHON = _Agent(
    "the Python agent",
    {
        "cleanup_threshold_secs": "retention",
        "retry_limit_for_possible_errors": "max_attempts",
        "log_level": "log_level",
    },
    {
        "send_interval_secs": "events are delivered as soon as they are accepted",
        "cleanup_interval_secs": "what is older than retention is removed continually",
        "backoff_interval_secs": "an event is retried after 1 s, later every 60 s at most",
        "source_address": "the operating system chooses the source address",
    },
    OUTQUEUE,
)
_GO = _Agent(
    "go-pdagent",
    {name: name for name in ("address", "secret", "region", "pidfile")},
    {"database": "the journal is another file; 'pagerduty-agent help moving' explains more"},
    None,
)


class Converted(NamedTuple):
    """An old config: our `settings` with their values as text, and why others were `left` out.

    `agent` names the old agent, `queue` is the directory of its events if they can be imported.
    """

    agent: str
    settings: dict[str, str]
    left: dict[str, str]
    queue: Path | None

    def without(self, name: str, why: str) -> Converted:
        """The same, with a setting of ours left out."""
        if name not in self.settings:
            return self
        settings = {each: value for each, value in self.settings.items() if each != name}
        return self._replace(settings=settings, left={**self.left, name: why})

    def notes(self) -> list[str]:
        """What was left out, for the head of the new file."""
        lines = [f"  {name}: {why}" for name, why in self.left.items()]
        return ["", f"Not taken over from {self.agent}'s config:", *lines] if lines else []


def convert(path: Path) -> Converted:
    """Read the config file of either agent.

    Raises:
        FileNotFoundError: There is no such file.
        ConfigError: It can't be read, or is the config of neither.
    """
    text = _text(path)
    agent, old = (_PYTHON, _ini(path, text)) if _SECTION.match(text) else (_GO, _yaml(path))
    if not old.keys() & (agent.settings.keys() | agent.without.keys()):
        raise ConfigError(f"{path} is neither the Python agent's config nor go-pdagent's")
    settings: dict[str, str] = {}
    left: dict[str, str] = {}
    for name, value in old.items():
        ours = agent.settings.get(name)
        if ours == "log_level":
            value = _LOG_LEVELS.get(value.lower(), value.lower())
        if ours is None:
            left[name] = agent.without.get(name, f"{agent.name} has no such setting")
        elif not value:
            left[name] = "it is empty"
        elif not _fits(ours, value, path):
            left[name] = f"{ours} must be {OPTIONS[ours].kind.allowed}"
        else:
            settings[ours] = value
    return Converted(agent.name, settings, left, agent.queue)


def _fits(option: str, value: str, path: Path) -> bool:
    try:
        OPTIONS[option].kind.parse(value, path.parent)
    except (ValueError, RuntimeError):
        return False
    return True


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_LARGEST)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError(f"can't read {path}: {error.strerror}") from None


def _ini(path: Path, text: str) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
        return dict(parser["Main"])
    except (configparser.Error, KeyError):
        # Without what the parser says: it quotes lines.
        raise ConfigError(
            f"{path} isn't the Python agent's config: that has lines 'name = value' below [Main]"
        ) from None


def _yaml(path: Path) -> dict[str, str]:
    values = read_config_file(path).values
    return {
        name.lower(): written.value
        for name, written in values.items()
        if isinstance(written.value, str)
    }
