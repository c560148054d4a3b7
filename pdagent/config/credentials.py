"""The files of `secret_file`, `relay_secret_file` and `routing_keys_file`: credentials elsewhere.

So the config of a whole host can be readable for all. Commands work without a file that their user
may not read, and say so when they need what is in it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pdagent.config import ConfigError
from pdagent.config.options import OPTIONS
from pdagent.config.reading import shown, values_in
from pdagent.config.values import check_routing_key

_LARGEST = 1 << 20  # bytes


class Unread(Exception):
    """The file can't be read; the text is one line that names setting, file and reason."""


def read_secret(setting: str, path: Path) -> str:
    """The secret in `path`, which may end with a line feed; `setting` names the file.

    Raises:
        Unread: The file isn't there, or this user may not read it.
        ConfigError: It doesn't hold one secret.
    """
    kind = OPTIONS[setting.removesuffix("_file")].kind
    try:
        secret = str(kind.parse(_content(setting, path).decode("ascii").strip(), path.parent))
    except ValueError:
        secret = ""
    if not secret:
        raise ConfigError(f"{path}: a {setting} must hold one secret: {kind.allowed}")
    return secret


def read_routing_keys(path: Path) -> dict[str, str]:
    """The named keys in `path`: lines `name: key`.

    Raises:
        Unread: The file isn't there, or this user may not read it.
        ConfigError: It holds something else.
    """
    keys = {}
    for name, written in values_in(path, _content("routing_keys_file", path)).items():
        key = written.value if isinstance(written.value, str) else ""
        if problem := check_routing_key(name, key):
            raise ConfigError(f"{path}, line {written.line}: {shown(name)}: {problem}")
        keys[name] = key
    return keys


def is_exposed(path: Path) -> bool:
    """Whether every user of the host can read the file."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) and bool(mode & stat.S_IROTH)


def _content(setting: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise Unread(f"can't read {setting} {path}: {reason}") from None
    if len(data) > _LARGEST:
        raise ConfigError(f"{path} is larger than 1 MiB: that is no {setting}")
    return data
