"""The config file that `init` writes: a fresh secret, and every option explained."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from pdagent.config import ConfigError
from pdagent.config_options import OPTIONS, Option

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


def config_text(secret: str) -> str:
    """The text of a config file in which only `secret` is set."""
    return _HEAD + "".join(_entry(option, secret) for option in OPTIONS.values())


def write_config(path: Path) -> None:
    """Write a new config file with a random secret, readable by its owner only.

    The file appears whole or not at all, and one that is there already is left alone.

    Raises:
        FileExistsError: There is something at `path` already.
        ConfigError: It can't be written there.
    """
    if os.path.lexists(path):
        raise FileExistsError(path)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        _write_private(draft, config_text(secrets.token_urlsafe(_SECRET_BYTES)))
        # Unlike a rename, a link never replaces a file that somebody else has just made.
        os.link(draft, path)
    except FileExistsError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise ConfigError(f"can't write the config file {path}: {reason}") from None
    finally:
        with contextlib.suppress(OSError, ValueError):
            draft.unlink()


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def _entry(option: Option, secret: str) -> str:
    head = f"\n# {option.explanation}\n# Allowed: {option.allowed}.\n"
    if option.name == "secret":
        return f"{head}secret: {secret}\n"
    if option.name == "routing_keys":
        return f"{head}{_ROUTING_KEYS}"
    if option.shown == "none":
        return f"{head}# {option.name}:\n"
    return f"{head}# {option.name}: {option.shown}\n"
