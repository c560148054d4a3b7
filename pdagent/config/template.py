"""The config file that `init` writes: a fresh secret, and every option explained."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pdagent.config import ConfigError
from pdagent.config.options import OPTIONS, Option
from pdagent.config.reading import read_back
from pdagent.config.settings import SECTIONS

_SECRET_BYTES = 32
_HEAD = """\
# Configuration of pagerduty-agent (YAML).
# A setting that begins with '#' has its default. Restart the agent after a change.
# Each setting can also come from the environment, for example PAGERDUTY_AGENT_ADDRESS;
# command line options beat the environment, the environment beats this file.
"""
_ROUTING_KEYS = """\
# routing_keys:
#   database: 0123456789abcdef0123456789abcdef
"""
_LISTEN = """\
# listen:
#   - 127.0.0.1:8080
#   - address: 127.0.0.1:443
#     tls_cert: events.cert.pem
#     tls_key: events.key.pem
"""
_EXAMPLES = {"routing_keys": _ROUTING_KEYS, "listen": _LISTEN}
_PLAIN = re.compile(r"[A-Za-z0-9._][\w.-]*", re.ASCII)
_FOR_ITS_OWNER, _FOR_ALL = 0o600, 0o644


class NewFile(NamedTuple):
    """A file to write; `owner` (user id, group id) defaults to the writing process's own."""

    data: bytes
    mode: int
    owner: tuple[int, int] | None = None


class TlsFiles(NamedTuple):
    """Where the certificate and the private key lie that belong to a config file."""

    certificate: Path
    key: Path


def tls_files(config: Path) -> TlsFiles:
    """The files that `write_config` makes for TLS: next to `config`, named after it."""
    name = config.name.removesuffix(".yaml").removesuffix(".yml")
    return TlsFiles(config.with_name(f"{name}.cert.pem"), config.with_name(f"{name}.key.pem"))


def config_text(settings: Mapping[str, str], notes: Sequence[str] = ()) -> str:
    """The text of a config file in which only `settings` are set; `notes` are lines at its top."""
    head = _HEAD + "".join(f"# {note}".rstrip() + "\n" for note in notes)
    return head + "".join(_entry(option, settings) for option in OPTIONS.values())


def as_yaml(settings: Mapping[str, str]) -> dict[str, str]:
    """Values of settings as they are written in the file."""
    return {
        name: text if read_back(text) == text else json.dumps(text)
        for name, text in settings.items()
    }


def write_config(
    path: Path,
    *,
    tls_names: Sequence[str] | None = None,
    settings: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write a new config file, readable by its owner only, with `settings` and a random secret.

    `settings` may have another secret; `notes` become comments at the top.

    With `tls_names`, which may be empty, a self-signed certificate for this host and these names
    is made as well, and the config uses it; all may read the certificate, its owner alone the key.
    The files appear whole or not at all, and one that is
    there already is left alone.

    Raises:
        FileExistsError: At `filename`, one of the files to write, there is something already.
        ConfigError: They can't be written there.
    """
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    settings = {"secret": new_secret(), **as_yaml(settings or {})}
    files: dict[Path, NewFile] = {}
    if tls_names is not None:
        files |= tls_pair(path, tls_names)
        settings |= tls_settings(path)
    # Last, so that a config never names files that aren't there.
    files[path] = NewFile(config_text(settings, notes).encode(), _FOR_ITS_OWNER)
    write_new(files)


def new_secret() -> str:
    """A random secret."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def tls_pair(config: Path, names: Sequence[str]) -> dict[Path, NewFile]:
    """A self-signed certificate for this host and `names`, and its key, to be written."""
    from pdagent.config.certificates import self_signed  # no other use of the program needs it

    place, pair = tls_files(config), self_signed(names)
    return {
        place.key: NewFile(pair.key, _FOR_ITS_OWNER),
        # Clients of other users have to read what they are to trust.
        place.certificate: NewFile(pair.certificate, _FOR_ALL),
    }


def tls_settings(config: Path) -> dict[str, str]:
    """What `config` says about the files of `tls_pair`."""
    place = tls_files(config)
    return {"tls_cert": _relative(place.certificate), "tls_key": _relative(place.key)}


def write_new(files: Mapping[Path, NewFile]) -> None:
    """Write all files, or none of them.

    Raises:
        FileExistsError: At `filename`, one of them, there is something already.
        ConfigError: They can't be written there.
    """
    made: list[Path] = []
    try:
        for path, file in files.items():
            draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
            try:
                _write(draft, file)
                # Unlike a rename, a link never replaces a file that somebody else has just made.
                os.link(draft, path)
            except FileExistsError as error:
                raise FileExistsError(error.errno, error.strerror, str(path)) from None
            finally:
                draft.unlink(missing_ok=True)
            made.append(path)
    except BaseException as error:
        for path in made:
            path.unlink(missing_ok=True)
        if isinstance(error, FileExistsError) or not isinstance(error, (OSError, ValueError)):
            raise
        reason = getattr(error, "strerror", None) or "not a path"
        last = list(files)[-1]
        raise ConfigError(f"can't write {last}: {reason}") from None


def _write(path: Path, file: NewFile) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FOR_ITS_OWNER)
    with os.fdopen(descriptor, "wb") as writer:
        if file.owner is not None:
            os.fchown(descriptor, *file.owner)
        os.fchmod(descriptor, file.mode)
        writer.write(file.data)
        writer.flush()
        os.fsync(descriptor)


def _relative(path: Path) -> str:
    """Paths in the file start from its directory: it can be moved together with the pair."""
    return path.name if _PLAIN.fullmatch(path.name) else json.dumps(path.name)


def _entry(option: Option, settings: Mapping[str, str]) -> str:
    head = f"\n# {option.explanation}\n# Allowed: {option.kind.allowed}.\n"
    section, _, name = option.name.partition("_")
    if section in SECTIONS:
        first = f"# {section}:\n" if option.name in ("notify_routing_key", "engine_urls") else ""
        return f"{head}{first}#   {name}: {'' if option.shown == 'none' else option.shown}\n"
    if option.name in settings:
        return f"{head}{option.name}: {settings[option.name]}\n"
    if option.name in _EXAMPLES:
        return f"{head}{_EXAMPLES[option.name]}"
    if option.shown == "none":
        return f"{head}# {option.name}:\n"
    return f"{head}# {option.name}: {option.shown}\n"
