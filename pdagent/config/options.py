"""Each setting's meaning, what it may be, and how its text is read.

Reading the config file and the environment, error messages, and the commented file that `init`
writes use this table. A value arrives as text, as in the file: YAML's types would turn a secret of
digits into a number.
"""

from __future__ import annotations

import ipaddress
import math
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from pdagent.config import expanded
from pdagent.config.listener import Listener
from pdagent.masking import is_routing_key

_SWITCH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
LONGEST = 3650 * 86400.0
# Compiled when a setting is read: most commands read few of them.
_HOST = r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?"
_DURATION = r"([0-9]+(?:\.[0-9]+)?)\s*([smhd]?)"
_KEY_NAME = r"[\w.-]{1,64}"


class Kind(NamedTuple):
    """What values a setting takes: `allowed` in words.

    `parse` takes the text and the directory that relative paths start from, and raises ValueError
    when the text isn't what `allowed` says.
    """

    allowed: str
    parse: Callable[[str, Path], object]


class Option(NamedTuple):
    """One setting. `shown` is its default as the config file writes it."""

    name: str
    kind: Kind
    shown: str
    explanation: str


def _address(text: str, _: Path) -> str:
    host, colon, port = text.strip().rpartition(":")
    if not colon or not _is_port(port):
        raise ValueError(text)
    if host.startswith("[") and host.endswith("]"):
        ipaddress.IPv6Address(host[1:-1])
    elif not re.fullmatch(_HOST, host):
        raise ValueError(text)
    return f"{host}:{int(port)}"


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 1 <= int(text) <= 65535


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


def seconds_of(text: str) -> float:
    """The length of a time such as `90m` or `45s`, or of a number of seconds. Raises ValueError."""
    match = re.fullmatch(_DURATION, text.strip())
    if not match:
        raise ValueError(text)
    seconds = float(match[1]) * _SECONDS[match[2]]
    if not 1 <= seconds <= LONGEST:
        raise ValueError(text)
    return seconds


def _seconds(text: str, _: Path) -> float:
    return seconds_of(text)


def _seconds_or_never(text: str, base: Path) -> float:
    return math.inf if text.strip().lower() == "never" else _seconds(text, base)


def _switch(text: str, _: Path) -> bool:
    if text.strip().lower() not in _SWITCH:
        raise ValueError(text)
    return _SWITCH[text.strip().lower()]


def _whole(highest: int) -> Kind:
    def parse(text: str, _: Path) -> object:
        digits = text.strip()
        if not re.fullmatch("[0-9]{1,9}", digits) or not 1 <= int(digits) <= highest:
            raise ValueError(text)
        return int(digits)

    return Kind(f"a whole number from 1 to {highest}", parse)


def _one_of(*words: str) -> Kind:
    def parse(text: str, _: Path) -> object:
        return words[words.index(text.strip())]

    return Kind(f"{', '.join(words[:-1])} or {words[-1]}", parse)


def _hosts(text: str, _: Path) -> tuple[str, ...]:
    names = tuple(name.strip().lower() for name in text.split(",") if name.strip())
    if not all(re.fullmatch(_HOST, name) for name in names):
        raise ValueError
    return names


def _addresses(text: str, _: Path) -> tuple[tuple[str, int | None], ...]:
    return tuple(_ip_address(item.strip()) for item in text.split(",") if item.strip())


def _ip_address(text: str) -> tuple[str, int | None]:
    try:
        return str(ipaddress.ip_address(text)), None
    except ValueError:
        host, _, port = _address(text, Path()).rpartition(":")
        return str(ipaddress.ip_address(host.strip("[]"))), int(port)


def _listeners(text: str, base: Path) -> tuple[Listener, ...]:
    return tuple(Listener(_address(item, base)) for item in text.split(",") if item.strip())


def _key_or_name(text: str, _: Path) -> str:
    key = text.strip()
    if not (re.fullmatch(_KEY_NAME, key[1:]) if key.startswith("@") else is_routing_key(key)):
        raise ValueError
    return key


def _command_line(text: str, _: Path) -> str:
    if not shlex.split(text):
        raise ValueError
    return text


def _mail_addresses(text: str, _: Path) -> str:
    if not text.strip() or not text.isprintable() or text.lstrip().startswith("-"):
        raise ValueError
    return text.strip()


def _routing_keys_in_one_line(text: str, _: Path) -> dict[str, str]:
    named = dict(item.partition("=")[::2] for item in text.split(",") if item.strip())
    return {name.strip(): key.strip() for name, key in named.items()}


def check_routing_key(name: str, key: str) -> str | None:
    """What is wrong with an entry of `routing_keys`, without telling the key; None if nothing."""
    if not re.fullmatch(_KEY_NAME, name):
        return "a name is 1 to 64 letters, digits, '.', '_' or '-'"
    if not is_routing_key(key):
        return "the key must be 32 letters and digits"
    return None


_ADDRESS = Kind(
    "HOST:PORT with a port from 1 to 65535, for example 127.0.0.1:49463 or [::1]:49463", _address
)
_SECRET = Kind("ASCII letters, digits and signs without spaces", _secret)
_SWITCHED = Kind("true or false", _switch)
_ADDRESSES = Kind(
    "a list of IP addresses, with or without ports, for example 192.0.2.1 or [2001:db8::1]:443",
    _addresses,
)
_HOSTS = Kind("a list of host names without ports", _hosts)
_PATH = Kind("a path", _path)
_URL = Kind("an http:// or https:// URL without user name, query and fragment", _url)
_KEYS = Kind("names, each with a key of 32 letters and digits", _routing_keys_in_one_line)
_TIME_OR_NEVER = Kind(
    "a time such as 24h, 90m or 45s, a number of seconds, up to 3650d, or never", _seconds_or_never
)
_TIME = Kind("a time such as 7d, 12h, 30m or 45s, or a number of seconds, up to 3650d", _seconds)

_LIST = (
    Option(
        "address",
        _ADDRESS,
        "127.0.0.1:49463",
        "Where the agent listens, and where commands on this host reach it.",
    ),
    Option(
        "socket",
        _PATH,
        "none",
        "Unix socket where the agent listens as well: its group may send events without the "
        "secret. Commands use it instead of the address.",
    ),
    Option(
        "listen",
        Kind("a list of HOST:PORT, or of addresses with tls_cert and tls_key", _listeners),
        "none",
        "Further addresses where the agent listens, each with or without TLS.",
    ),
    Option(
        "secret",
        _SECRET,
        "none",
        "Shared by the agent and its clients; needed unless the address is on loopback.",
    ),
    Option(
        "secret_file",
        _PATH,
        "none",
        "File that holds the secret, instead of 'secret': so all may read the config.",
    ),
    Option(
        "require_secret",
        _SWITCHED,
        "false",
        "Require the secret on PagerDuty's paths too: as the password in the URL, for example.",
    ),
    Option(
        "allowed_hosts",
        _HOSTS,
        "none",
        "More names under which clients on this host may call an agent on loopback.",
    ),
    Option(
        "database",
        _PATH,
        "~/.pagerduty-agent/journal",
        "Directory of the journal: every event that was accepted, until it is delivered.",
    ),
    Option(
        "pidfile",
        _PATH,
        "~/.pagerduty-agent/pidfile",
        "Locked by the running agent; 'server stop' finds the agent by it.",
    ),
    Option(
        "spool",
        _PATH,
        "none",
        "Directory where commands store events while the agent is down. If unset, they fail.",
    ),
    Option(
        "tls_cert",
        _PATH,
        "none",
        "Certificate (PEM). With it and tls_key the agent speaks https.",
    ),
    Option("tls_key", _PATH, "none", "Private key (PEM) of tls_cert."),
    Option("region", _one_of("us", "eu"), "us", "PagerDuty's service region of your account."),
    Option(
        "events_url",
        _URL,
        "https://events.pagerduty.com",
        "PagerDuty's Events API, when it isn't the region's own.",
    ),
    Option(
        "api_url",
        _URL,
        "https://api.pagerduty.com",
        "PagerDuty's REST API (heartbeat), when it isn't the region's own.",
    ),
    Option(
        "deliver_via",
        _ADDRESSES,
        "none",
        "Addresses to connect to, in turn until one works, instead of resolving events_url's name.",
    ),
    Option(
        "routing_keys",
        _KEYS,
        "none",
        "Names for routing keys: commands take '-k @name', tables show the name.",
    ),
    Option(
        "routing_keys_file",
        _PATH,
        "none",
        "File with more lines 'name: key', for those who may send: so all may read the config.",
    ),
    Option(
        "max_in_flight",
        _whole(1000),
        "64",
        "Deliveries to PagerDuty under way at once, over all routing keys.",
    ),
    Option(
        "max_attempts",
        _whole(1_000_000),
        "60",
        "Give an event up after so many failed attempts between which PagerDuty accepted other "
        "events, over at least an hour.",
    ),
    Option(
        "give_up_after",
        _TIME_OR_NEVER,
        "24h",
        "Give an event up when PagerDuty has failed on it for so long, even if it accepts nothing.",
    ),
    Option(
        "max_queue_length",
        _whole(100_000_000),
        "100000",
        "Events that may wait per routing key; more are refused.",
    ),
    Option(
        "max_journal_mb",
        _whole(1_048_576),
        "1024",
        "Size limit of the journal in MiB: a full one refuses new events, a key whose waiting "
        "events fill half of it refuses its own.",
    ),
    Option("retention", _TIME, "7d", "How long ended events stay in the journal."),
    Option(
        "notify_routing_key",
        Kind("@name or 32 letters and digits", _key_or_name),
        "none",
        "Alerts about dead letters, quarantined or full queues and a full journal go to this key.",
    ),
    Option(
        "notify_command",
        Kind("a command line, run without a shell", _command_line),
        "none",
        "Run once when PagerDuty could not be reached for unreachable_after, and once on recovery.",
    ),
    Option(
        "notify_email",
        Kind("mail addresses, separated by commas", _mail_addresses),
        "none",
        "Gets a mail, by sendmail, when the command would be run.",
    ),
    Option("notify_unreachable_after", _TIME, "10m", "How long an outage lasts before that."),
    Option("heartbeat", _SWITCHED, "true", "Send PagerDuty a heartbeat once an hour."),
    Option("log_level", _one_of("debug", "info", "warning", "error"), "info", "Minimum log level."),
    Option("log_format", _one_of("console", "json"), "console", "Logs for people or for machines."),
)

OPTIONS = {option.name: option for option in _LIST}
