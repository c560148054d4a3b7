"""Where settings come from: flags beat the environment, that beats the file, that the defaults."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from pdagent.config import Config, ConfigError, expanded
from pdagent.config.options import OPTIONS
from pdagent.config.reading import ConfigFile, Written, read_config_file, shown
from pdagent.config.settings import flat, from_file, from_text
from pdagent.wording import nearest

ENV_PREFIX = "PAGERDUTY_AGENT_"
CONFIG_ENV = f"{ENV_PREFIX}CONFIG"

SYSTEM_FILE = Path("/etc/pagerduty-agent.yaml")


class Loaded(NamedTuple):
    """A config and how it came about.

    `file` is the config file that was read, None without one; `origins` has for each setting
    that isn't a default where it was set, in words; `warnings` are lines for the user. `unread`
    says why a secret or `routing_keys` lacks what stands in a file of its own: the server can't do
    without, most commands can.
    """

    config: Config
    file: Path | None
    origins: dict[str, str]
    warnings: tuple[str, ...]
    unread: dict[str, str]

    @property
    def calling(self) -> Config:
        """The settings for calls to the agent: an address given closer than the socket wins."""
        if _closeness(self.origins.get("address")) > _closeness(self.origins.get("socket")):
            return replace(self.config, socket=None)
        return self.config


def user_file() -> Path:
    """The user's own config file, which `init` writes and commands look for first.

    It begins with `~` for a user without home directory.
    """
    return expanded("~/.pagerduty-agent.yaml")


def load(
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
    *,
    config_file: str | None = None,
    search: Sequence[Path] | None = None,
) -> Loaded:
    """Put the settings together from `flags` (by setting's name), `environ` and the config file.

    The file is `config_file`, else the one that `PAGERDUTY_AGENT_CONFIG` names, else the first of
    `search` that exists (default: the user's, then the host's). An empty flag or variable counts
    as not given. Relative paths in the file start from the file's directory.

    Raises:
        ConfigError: A file, key or value can't be used; the message is one line.
    """
    loaded, problems = load_what_can_be_used(flags, environ, config_file=config_file, search=search)
    if problems:
        raise problems[0]
    return loaded


def load_what_can_be_used(
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
    *,
    config_file: str | None = None,
    search: Sequence[Path] | None = None,
) -> tuple[Loaded, list[ConfigError]]:
    """As `load`, without the settings that can't be used; also what is wrong with each of those.

    Raises:
        ConfigError: The config file itself can't be used.
    """
    file = _find(config_file or environ.get(CONFIG_ENV) or None, search)
    settings: dict[str, Any] = {}
    origins: dict[str, str] = {}
    unread: dict[str, str] = {}
    problems: list[ConfigError] = []
    for name, where, value in _given(flags, environ, file):
        try:
            settings[name], origins[name] = value(), where
        except ConfigError as error:
            problems.append(error)
    try:
        unread = _read_files(settings, origins)
    except ConfigError as error:
        problems.append(error)
    key = str(settings.get("notify_routing_key", ""))
    if key.startswith("@"):
        named = settings.get("routing_keys", {})
        if key[1:] not in named and "routing_keys" not in unread:
            where = origins["notify_routing_key"]
            what = f"{where}: no key is named {shown(key[1:])} in routing_keys"
            problems.append(ConfigError(what))
        settings["notify_routing_key"] = named.get(key[1:], "")  # unread: a command needs none
    config = Config(**settings)
    warnings = _warnings(config, file, environ)
    return Loaded(config, file.path if file else None, origins, warnings, unread), problems


def _given(
    flags: Mapping[str, str | None], environ: Mapping[str, str], file: ConfigFile | None
) -> Iterator[tuple[str, str, Callable[[], object]]]:
    """Name, place and value of all that is set; a later one of the same name counts more."""
    if file:
        for name, written in flat(file.values).items():
            where = f"{file.path}, line {written.line}"
            yield name, where, partial(from_file, name, written, file.path)
    for name, option in OPTIONS.items():
        for text, where in (
            (environ.get(ENV_PREFIX + name.upper()), f"environment {ENV_PREFIX}{name.upper()}"),
            (flags.get(name), f"--{name.replace('_', '-')}"),
        ):
            if text:
                yield name, where, partial(from_text, option, text, where, Path.cwd())


def _closeness(origin: str | None) -> int:
    """How much a setting from there counts: a default, the file, the environment, an option."""
    if origin is None:
        return 0
    return 3 if origin.startswith("--") else 2 if origin.startswith("environment ") else 1


def _read_files(settings: dict[str, Any], origins: dict[str, str]) -> dict[str, str]:
    """Add what stands in the files with credentials; returns what could not be read."""
    unread: dict[str, str] = {}
    if not {"secret_file", "relay_secret_file", "routing_keys_file"} & settings.keys():
        return unread
    from pdagent.config.credentials import Unread, read_routing_keys, read_secret

    for name in ("secret", "relay_secret"):
        file = f"{name}_file"
        direct, filed = _closeness(origins.get(name)), _closeness(origins.get(file))
        if filed and filed == direct:
            raise ConfigError(
                f"{origins[file]}: {name} and {file} are both set: remove one of them"
            )
        try:
            if filed > direct:
                settings[name] = read_secret(file, settings[file])
                origins[name] = str(settings[file])
        except Unread as error:
            settings[name] = ""
            unread[name] = str(error)
    try:
        if "routing_keys_file" in settings:
            named = read_routing_keys(settings["routing_keys_file"])
            settings["routing_keys"] = named | settings.get("routing_keys", {})
    except Unread as error:
        unread["routing_keys"] = str(error)
    return unread


def _find(named: str | None, search: Sequence[Path] | None) -> ConfigFile | None:
    if named:
        path = config_path(named)
        try:
            return read_config_file(path)
        except FileNotFoundError:
            raise ConfigError(
                f"there is no config file {path}: "
                f"'pagerduty-agent --config {named} init' writes one"
            ) from None
    for path in (user_file(), SYSTEM_FILE) if search is None else search:
        if not path.is_absolute() or _is_of_another_user(path):
            # In the home directory of a user who has none; or of another user: services often keep
            # the HOME of the user who started them.
            continue
        try:
            return read_config_file(path)
        except FileNotFoundError:
            continue
    return None


def _is_of_another_user(path: Path) -> bool:
    """Whether this user may not read the file, or not even see it, and does not own it."""
    try:
        owner = path.stat().st_uid
    except OSError as error:
        return isinstance(error, PermissionError)
    ours = owner == os.geteuid() or path == SYSTEM_FILE
    return not ours and not os.access(path, os.R_OK, effective_ids=True)


def config_path(named: str) -> Path:
    """The absolute path that a file name given by the user means.

    Raises:
        ConfigError: It begins with the home directory of an unknown user.
    """
    try:
        return Path(named).expanduser().absolute()
    except RuntimeError:
        raise ConfigError(f"config file {named}: there is no such user") from None


def _holds_credentials(values: Mapping[str, Written]) -> bool:
    told = values.get("notify_routing_key")
    named = told is None or str(told.value).startswith("@")
    held = {"secret", "routing_keys", "relay_secret", "accept_secrets"}
    return not named or bool(held & values.keys())


def _warnings(
    config: Config, file: ConfigFile | None, environ: Mapping[str, str]
) -> tuple[str, ...]:
    warnings = []
    files = (config.secret_file, config.relay_secret_file, config.routing_keys_file)
    for path in filter(None, files):
        from pdagent.config.credentials import is_exposed

        if is_exposed(path):
            warnings.append(
                f"{path} holds credentials and every user can read it: run 'chmod o= {path}'"
            )
    if file and file.exposed and _holds_credentials(flat(file.values)):
        mending = f"run 'chmod 600 {file.path}'"
        if file.path == SYSTEM_FILE:  # every user's commands read it
            mending = "move them into files that secret_file and routing_keys_file name"
        warnings.append(f"{file.path} holds credentials and every user can read it: {mending}")
    for variable in environ:
        name = variable.removeprefix(ENV_PREFIX).lower()
        # Others may use the prefix for their own (Kubernetes does); only a near miss is a typo.
        if variable.startswith(ENV_PREFIX) and name not in (*OPTIONS, "config"):
            near = nearest(name, OPTIONS, cutoff=0.8)
            if near:
                wanted = ENV_PREFIX + near.upper()
                warnings.append(f"environment variable {variable} is unknown: is it {wanted}?")
    return tuple(warnings)
