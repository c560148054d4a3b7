"""Config files in any form of YAML: text to named values with their line numbers."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from pdagent.config import ConfigError
from pdagent.config.reading import Written, shown

# libyaml's loader where PyYAML was built with it, else PyYAML's own.
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: Path, text: str) -> dict[str, Written]:
    """The values in `text`, the content of `path`.

    Raises:
        ConfigError: It isn't YAML, names a key twice, or has something else than keys with values.
    """
    node = _compose(path, text)
    return {} if node is None else _mapping(path, node, "the file")


def _compose(path: Path, text: str) -> yaml.Node | None:
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}, line {line}: not valid YAML: {_problem(error)}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{path}, line {line}: not valid YAML: {error.reason}") from None
    return None if node is None or _is_nothing(node) else node


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
        elif isinstance(value_node, yaml.SequenceNode) and what in ("the file", "engine"):
            values[key] = Written(_entries(path, value_node, key), line)
        elif not isinstance(value_node, yaml.ScalarNode):
            raise ConfigError(f"{path}, line {line}: {shown(key)} must have a single value")
        elif not _is_nothing(value_node):
            values[key] = Written(value_node.value, line)
    return values


def _entries(path: Path, node: yaml.SequenceNode, key: str) -> list[str | dict[str, Written]]:
    found: list[str | dict[str, Written]] = []
    for entry in node.value:
        if isinstance(entry, yaml.ScalarNode):
            found.append(entry.value)
        elif isinstance(entry, yaml.MappingNode) and key == "listen":
            found.append(_mapping(path, entry, "an entry of listen"))
        else:
            line = entry.start_mark.line + 1
            raise ConfigError(f"{path}, line {line}: {shown(key)} must be a list of single values")
    return found
