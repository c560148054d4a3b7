"""The value of one setting, from its text or its lines in the config file; or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pdagent.config import ConfigError, FlagError
from pdagent.config.listener import Listener
from pdagent.config.options import OPTIONS, Option
from pdagent.config.reading import Written, shown
from pdagent.config.values import check_routing_key
from pdagent.wording import nearest

# In the file these may be lists; one line has their entries separated by commas.
_LISTS = ("allowed_hosts", "deliver_via", "relays", "accept_secrets", "engine_urls")

SECTIONS = ("notify", "engine")
"""Words in the file with settings below them."""


def flat(values: Mapping[str, Written]) -> dict[str, Written]:
    """The settings of a file; those below one of `SECTIONS` with their names in the environment."""
    settings: dict[str, Written] = {}
    for name, written in values.items():
        if name in SECTIONS and isinstance(written.value, dict):
            settings |= {f"{name}_{under}": entry for under, entry in written.value.items()}
        else:
            settings[name] = written
    return settings


def from_file(name: str, written: Written, path: Path) -> object:
    """The value of the setting `name` in the config file `path`. Raises ConfigError."""
    return _from_lines(_known(name, f"{path}, line {written.line}"), written, path)


def _known(name: str, where: str) -> Option:
    if name in OPTIONS:
        return OPTIONS[name]
    near = nearest(name.replace("-", "_"), OPTIONS)
    hint = f"did you mean {near!r}? " if near else ""
    raise ConfigError(f"{where}: unknown key {shown(name)}: {hint}Known are {', '.join(OPTIONS)}")


def _from_lines(option: Option, written: Written, path: Path) -> object:
    where = f"{path}, line {written.line}"
    if option.name == "routing_keys" and not isinstance(written.value, dict):
        raise ConfigError(f"{where}: routing_keys must be indented lines 'name: key'")
    if option.name == "listen":
        return _listeners(option, written, path)
    if isinstance(written.value, list) and option.name in _LISTS:
        return from_text(option, ",".join(map(str, written.value)), where, path.parent)
    if isinstance(written.value, str):
        return from_text(option, written.value, where, path.parent)
    if option.name != "routing_keys" or isinstance(written.value, list):
        raise ConfigError(f"{where}: {option.name} must be {option.kind.allowed}")
    keys = {}
    for name, entry in written.value.items():
        keys[name] = entry.value if isinstance(entry.value, str) else ""
        _check_named_key(name, keys[name], f"{path}, line {entry.line}")
    return keys


def _listeners(option: Option, written: Written, path: Path) -> tuple[Listener, ...]:
    found: list[Listener] = []
    for entry in written.value if isinstance(written.value, list) else [written.value]:
        where = f"{path}, line {written.line}"
        if isinstance(entry, str):
            found += cast("tuple[Listener, ...]", from_text(option, entry, where, path.parent))
            continue
        settings: dict[str, Any] = {}
        for name, part in entry.items():
            where = f"{path}, line {part.line}"
            if name not in Listener._fields or not isinstance(part.value, str):
                raise ConfigError(
                    f"{where}: an entry of listen has {', '.join(Listener._fields)}, each with one "
                    f"value: change {shown(name)}"
                )
            settings[name] = from_text(OPTIONS[name], part.value, where, path.parent)
        if "address" not in settings:
            raise ConfigError(
                f"{where}: this entry of listen has no address: add 'address: HOST:PORT'"
            )
        found.append(Listener(**settings))
    return tuple(found)


def from_text(option: Option, text: str, where: str, base: Path) -> object:
    """The value that `text` gives a setting; relative paths start from `base`.

    Raises ConfigError, which says `where` it is set.
    """
    try:
        value = option.kind.parse(text, base)
    except (ValueError, RuntimeError):
        # Without the value: a line that is in the wrong place can be a credential.
        kind = FlagError if where.startswith("--") else ConfigError
        raise kind(f"{where}: {option.name} must be {option.kind.allowed}") from None
    if isinstance(value, dict):
        for name, key in value.items():
            _check_named_key(name, key, where)
    return value


def _check_named_key(name: str, key: str, where: str) -> None:
    problem = check_routing_key(name, key)
    if problem:
        raise ConfigError(f"{where}: routing_keys {shown(name)}: {problem}")
