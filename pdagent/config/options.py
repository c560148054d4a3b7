"""Each setting's meaning, what it may be, and how its text is read.

One table for everything that has to know: reading the config file and the environment, the text of
errors, and the commented file that `init` writes. A value arrives as text, as it stands in the
file: YAML's own idea of types would turn a secret of digits into a number.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from pdagent.config import expanded
from pdagent.masking import is_routing_key

_SWITCH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST_RETENTION = 3650 * 86400.0
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([smhd]?)")
_KEY_NAME = re.compile(r"[\w.-]{1,64}")


class Option(NamedTuple):
    """One setting as people meet it.

    `parse` takes the text and the directory that relative paths start from, and raises ValueError
    when the text isn't what `allowed` says. `shown` is the default as the config file writes it.
    """

    name: str
    explanation: str
    allowed: str
    shown: str
    parse: Callable[[str, Path], object]


def _address(text: str, _: Path) -> str:
    host, colon, port = text.strip().rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise ValueError(text)
    if host.startswith("[") and host.endswith("]"):
        ipaddress.IPv6Address(host[1:-1])
    elif not _HOST.fullmatch(host):
        raise ValueError(text)
    return f"{host}:{int(port)}"


def _secret(text: str, _: Path) -> str:
    # It travels in an HTTP header, where anything else would need an encoding nobody agrees on.
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError
    return text


def _path(text: str, base: Path) -> Path:
    if not text or "\0" in text:
        raise ValueError(text)
    path = expanded(text)
    return path if path.parts[:1] == ("~",) else base / path


def _url(text: str, _: Path) -> str:
    parts = urlsplit(text.strip())
    bare = not (parts.query or parts.fragment or parts.username or parts.password)
    if parts.scheme not in ("http", "https") or not parts.hostname or not bare:
        raise ValueError
    if parts.port == 0 or any(c.isspace() for c in text.strip()):
        raise ValueError
    return text.strip().rstrip("/")


def _seconds(text: str, _: Path) -> float:
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise ValueError(text)
    seconds = float(match[1]) * _SECONDS[match[2]]
    if not 1 <= seconds <= _LONGEST_RETENTION:
        raise ValueError(text)
    return seconds


def _seconds_or_never(text: str, base: Path) -> float:
    return math.inf if text.strip().lower() == "never" else _seconds(text, base)


def _switch(text: str, _: Path) -> bool:
    if text.strip().lower() not in _SWITCH:
        raise ValueError(text)
    return _SWITCH[text.strip().lower()]


def _whole(lowest: int, highest: int) -> Callable[[str, Path], object]:
    def parse(text: str, _: Path) -> object:
        digits = text.strip()
        if not re.fullmatch("[0-9]{1,9}", digits) or not lowest <= int(digits) <= highest:
            raise ValueError(text)
        return int(digits)

    return parse


def _one_of(*words: str) -> Callable[[str, Path], object]:
    def parse(text: str, _: Path) -> object:
        return words[words.index(text.strip())]

    return parse


def _hosts(text: str, _: Path) -> tuple[str, ...]:
    names = tuple(name.strip().lower() for name in text.split(",") if name.strip())
    if not all(map(_HOST.fullmatch, names)):
        raise ValueError
    return names


def _routing_keys_in_one_line(text: str, _: Path) -> dict[str, str]:
    named = dict(item.partition("=")[::2] for item in text.split(",") if item.strip())
    return {name.strip(): key.strip() for name, key in named.items()}


def check_routing_key(name: str, key: str) -> str | None:
    """What is wrong with an entry of `routing_keys`, without telling the key; None if nothing."""
    if not _KEY_NAME.fullmatch(name):
        return "a name is 1 to 64 letters, digits, '.', '_' or '-'"
    if not is_routing_key(key):
        return "the key must be 32 letters and digits"
    return None


_FOLDER = "~/.pagerduty-agent"
_LIST = (
    Option(
        "address",
        "Where the agent listens, and where commands on this host reach it.",
        "HOST:PORT with a port from 1 to 65535, for example 127.0.0.1:49463 or [::1]:49463",
        "127.0.0.1:49463",
        _address,
    ),
    Option(
        "secret",
        "Shared by the agent and its clients; needed unless the address is on loopback.",
        "ASCII letters, digits and signs without spaces",
        "none",
        _secret,
    ),
    Option(
        "require_secret",
        "Ask for the secret on PagerDuty's paths too: as the password in the URL, for example.",
        "true or false",
        "false",
        _switch,
    ),
    Option(
        "allowed_hosts",
        "More names under which clients on this host may call an agent on loopback.",
        "a list of host names without ports",
        "none",
        _hosts,
    ),
    Option(
        "database",
        "Directory of the journal: every event that was accepted, until it is delivered.",
        "a path",
        f"{_FOLDER}/journal",
        _path,
    ),
    Option(
        "pidfile",
        "Locked by the running agent; 'server stop' finds the agent by it.",
        "a path",
        f"{_FOLDER}/pidfile",
        _path,
    ),
    Option(
        "spool",
        "Directory where commands store events while the agent is down; none: they fail.",
        "a path",
        "none",
        _path,
    ),
    Option(
        "tls_cert",
        "Certificate (PEM). With it and tls_key the agent speaks https.",
        "a path",
        "none",
        _path,
    ),
    Option("tls_key", "Private key (PEM) of tls_cert.", "a path", "none", _path),
    Option(
        "region",
        "PagerDuty's service region of your account.",
        "us or eu",
        "us",
        _one_of("us", "eu"),
    ),
    Option(
        "events_url",
        "PagerDuty's Events API, when it isn't the region's own.",
        "an http:// or https:// URL without user name, query and fragment",
        "https://events.pagerduty.com",
        _url,
    ),
    Option(
        "api_url",
        "PagerDuty's REST API (heartbeat), when it isn't the region's own.",
        "an http:// or https:// URL without user name, query and fragment",
        "https://api.pagerduty.com",
        _url,
    ),
    Option(
        "routing_keys",
        "Names for routing keys: commands take '-k @name', tables show the name.",
        "names, each with a key of 32 letters and digits",
        "none",
        _routing_keys_in_one_line,
    ),
    Option(
        "max_in_flight",
        "Deliveries to PagerDuty under way at once, over all routing keys.",
        "a whole number from 1 to 1000",
        "16",
        _whole(1, 1000),
    ),
    Option(
        "max_attempts",
        "Give an event up after so many failed attempts between which PagerDuty accepted other "
        "events, over at least an hour.",
        "a whole number from 1 to 1000000",
        "60",
        _whole(1, 1_000_000),
    ),
    Option(
        "give_up_after",
        "Give an event up when PagerDuty has failed on it for so long, even if it accepts nothing.",
        "a time such as 24h, 90m or 45s, a number of seconds, up to 3650d, or never",
        "24h",
        _seconds_or_never,
    ),
    Option(
        "max_queue_length",
        "Events that may wait per routing key; more are refused.",
        "a whole number from 1 to 100000000",
        "100000",
        _whole(1, 100_000_000),
    ),
    Option(
        "max_journal_mb",
        "Size limit of the journal in MiB: a full one refuses new events, a key whose waiting "
        "events fill half of it refuses its own.",
        "a whole number from 1 to 1048576",
        "1024",
        _whole(1, 1_048_576),
    ),
    Option(
        "retention",
        "How long events that are done stay in the journal.",
        "a time such as 7d, 12h, 30m or 45s, or a number of seconds, up to 3650d",
        "7d",
        _seconds,
    ),
    Option(
        "heartbeat",
        "Tell PagerDuty once an hour that the agent lives.",
        "true or false",
        "true",
        _switch,
    ),
    Option(
        "log_level",
        "What is logged.",
        "debug, info, warning or error",
        "info",
        _one_of("debug", "info", "warning", "error"),
    ),
    Option(
        "log_format",
        "Logs for people or for machines.",
        "console or json",
        "console",
        _one_of("console", "json"),
    ),
)

OPTIONS = {option.name: option for option in _LIST}
