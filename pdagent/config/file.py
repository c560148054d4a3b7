"""The config file as it is written: YAML text to named values with their line numbers."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

import yaml

from pdagent.config import ConfigError
from pdagent.masking import mask

_LARGEST = 1 << 20
_DEEPEST = 10
# libyaml's loader where PyYAML was built with it, else PyYAML's own.
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Written(NamedTuple):
    """A value as it stands in the file: text, texts, or names with texts. Lines count from 1."""

    value: str | list[str] | dict[str, Written]
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
    node = _compose(path, _text(path, data))
    values = {} if node is None else _mapping(path, node, "the file")
    return ConfigFile(path, values, exposed=stat.S_ISREG(mode) and bool(mode & stat.S_IROTH))


def shown(name: str) -> str:
    """`name` quoted for a message; masked unless it looks like a name: it may be a credential."""
    return repr(name if re.fullmatch(r"[A-Za-z][\w.-]{0,23}", name) else mask(name))


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


def _compose(path: Path, text: str) -> yaml.Node | None:
    try:
        _check_depth(path, text)
        node: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        if "nesting depth" in (error.problem or ""):  # since PyYAML 6.0.4: libyaml has a limit
            raise _too_deep(path, line) from None
        raise ConfigError(f"{path}, line {line}: not valid YAML: {_problem(error)}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{path}, line {line}: not valid YAML: {error.reason}") from None
    return None if node is None or _is_nothing(node) else node


def _check_depth(path: Path, text: str) -> None:
    # Composing is recursive, in libyaml's older loader without a limit: it would end the process.
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise _too_deep(path, line)


def _too_deep(path: Path, line: int) -> ConfigError:
    return ConfigError(f"{path}, line {line}: nested too deeply for a config file")


def _problem(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "not understood"
    if "undefined alias" in problem or "cannot start any token" in problem:
        return "put quotes around a value that begins with a special character"
    if "another document" in problem:
        return "a second document ('---') begins here: a config file has one"
    # PyYAML quotes what it found; in this file that can be a part of a credential.
    return re.sub(r""" ("|'(?!.')).*""", "", problem)


def _is_nothing(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _mapping(path: Path, node: yaml.Node, what: str) -> dict[str, Written]:
    where = f"{path}, line {node.start_mark.line + 1}"
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{where}: {what} must be lines of the form 'key: value'")
    values: dict[str, Written] = {}
    seen: dict[str, int] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise ConfigError(f"{path}, line {line}: a key must be a plain word")
        key = key_node.value
        if key in seen:
            raise ConfigError(
                f"{path}, line {line}: {shown(key)} is set twice (first in line {seen[key]}): "
                "remove one"
            )
        seen[key] = line
        if isinstance(value_node, yaml.MappingNode) and what == "the file":
            values[key] = Written(_mapping(path, value_node, key), line)
        elif isinstance(value_node, yaml.SequenceNode) and what == "the file":
            values[key] = Written(_texts(path, value_node, key), line)
        elif not isinstance(value_node, yaml.ScalarNode):
            raise ConfigError(f"{path}, line {line}: {shown(key)} must have a single value")
        elif not _is_nothing(value_node):
            values[key] = Written(value_node.value, line)
    return values


def _texts(path: Path, node: yaml.SequenceNode, key: str) -> list[str]:
    for entry in node.value:
        if not isinstance(entry, yaml.ScalarNode):
            line = entry.start_mark.line + 1
            raise ConfigError(f"{path}, line {line}: {shown(key)} must be a list of single values")
    return [entry.value for entry in node.value]
