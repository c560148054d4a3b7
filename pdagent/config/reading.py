"""The config file as it is written: text to named values with their line numbers.

Files in the form that `init` writes are read here. All others take the YAML library, which needs a
fifth of the time of a command that sends an event.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from pdagent.config import ConfigError
from pdagent.masking import mask

_LARGEST = 1 << 20  # bytes
_PLAIN_LINE = re.compile(
    r"( *)([A-Za-z][\w.-]*):"
    r"(?: +(-?[A-Za-z0-9_/~](?:[A-Za-z0-9_/~.@%+=-]|:(?=[A-Za-z0-9/]))*))?(?: +#.*| *)"
)
_NULL = ("~", "null", "Null", "NULL")


class Written(NamedTuple):
    """A value as it stands in the file: text, a list, or names with texts. Lines count from 1."""

    value: str | list[str | dict[str, Written]] | dict[str, Written]
    line: int


class ConfigFile(NamedTuple):
    """One config file. `exposed` means that every user of the host can read it."""

    path: Path
    values: dict[str, Written]
    exposed: bool


def read_config_file(path: Path) -> ConfigFile:
    """Read `path` without judging its keys; a key without a value counts as not there.

    Raises:
        FileNotFoundError: There is no such file.
        ConfigError: It can't be read, isn't UTF-8 or YAML, names a key twice, or holds something
            else than keys with values.
    """
    data, mode = _read(path)
    if stat.S_ISREG(mode) and not data.strip():
        raise ConfigError(
            f"{path} is empty: remove it and run 'pagerduty-agent init' to write a new one"
        )
    exposed = stat.S_ISREG(mode) and bool(mode & stat.S_IROTH)
    return ConfigFile(path, values_in(path, data), exposed)


def values_in(path: Path, data: bytes) -> dict[str, Written]:
    """The values in `data`, the content of `path`. Raises `ConfigError` as `read_config_file`."""
    text = _text(path, data)
    values = _plain(text)
    if values is None:
        from pdagent.config.yaml_file import read_yaml  # it takes long to load

        values = read_yaml(path, text)
    return values


def shown(name: str) -> str:
    """`name` quoted for a message; masked unless it looks like a name: it may be a credential."""
    return repr(name if re.fullmatch(r"[A-Za-z][\w.-]{0,23}", name) else mask(name))


def read_back(text: str) -> str | None:
    """What a value that is written as `text`, without quotes, is read as; None if not as text."""
    values = _plain(f"key: {text}")
    value = values["key"].value if values and "key" in values else None
    return value if isinstance(value, str) else None


def _read(path: Path) -> tuple[bytes, int]:
    try:
        with path.open("rb") as file:
            data, mode = file.read(_LARGEST + 1), os.fstat(file.fileno()).st_mode
    except FileNotFoundError:
        raise
    except IsADirectoryError:
        raise ConfigError(f"{path} is a directory: name the config file in it") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise ConfigError(f"can't read {path}: {reason}") from None
    if len(data) > _LARGEST:
        raise ConfigError(f"{path} is larger than 1 MiB: that is no config file of the agent")
    return data, mode


def _text(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}, line {line}: not UTF-8 text: save it as UTF-8") from None


def _plain(text: str) -> dict[str, Written] | None:
    """The values of lines `key: value`; None if YAML may mean something else by any line."""
    values: dict[str, Written] = {}
    section: dict[str, Written] | None = None
    depth = ""
    for number, line in enumerate(text.split("\n"), 1):
        if line.isprintable() and (not line.strip(" ") or line.lstrip(" ").startswith("#")):
            continue
        match = _PLAIN_LINE.fullmatch(line)
        if match is None or not line.isprintable():
            return None
        indent, key, value = match.groups()
        begun: dict[str, Written] = {}
        if not indent:
            into, section, depth = values, None if value else begun, ""
        elif section is not None and value and indent == (depth or indent):
            into, depth = section, indent
        else:
            return None
        if key in into or value in _NULL:
            return None
        into[key] = Written(value or begun, number)
    return {key: written for key, written in values.items() if written.value}
