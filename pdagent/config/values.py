"""What values settings may have, and how the text of each is read.

A value arrives as text, as in the file: YAML's types would turn a secret of digits into a number.
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
SECONDS_IN = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
"""By unit of time; a number without one is in seconds."""
LONGEST = 3650 * 86400.0
"""Seconds: no setting is a longer time."""
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


def _secrets(text: str, base: Path) -> tuple[str, ...]:
    return tuple(_secret(item.strip(), base) for item in text.split(",") if item.strip())


def _shared_secret(text: str, base: Path) -> str:
    if "," in text:  # the other side has it in a list
        raise ValueError
    return _secret(text, base)


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


def _urls(text: str, base: Path) -> tuple[str, ...]:
    found = (urlsplit(_url(item, base)) for item in text.split(",") if item.strip())
    # With the host in lower case: compared with the URL by which a relay calls itself.
    return tuple(dict.fromkeys(url._replace(netloc=url.netloc.lower()).geturl() for url in found))


def _engine_urls(text: str, _: Path) -> tuple[str, ...]:
    urls = tuple(item.strip().rstrip("/") for item in text.split(",") if item.strip())
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in ("nats", "tls") or not parts.hostname or parts.port == 0:
            raise ValueError
        if parts.username or parts.password or parts.path or parts.query or parts.fragment:
            raise ValueError
    return urls


def _word(text: str, _: Path) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", text.strip()):
        raise ValueError
    return text.strip()


def _one_or_three(text: str, _: Path) -> int:
    return (1, 3)[("1", "3").index(text.strip())]


def seconds_of(text: str) -> float:
    """The length of a time such as `90m` or `45s`, or of a number of seconds. Raises ValueError."""
    match = re.fullmatch(_DURATION, text.strip())
    if not match:
        raise ValueError(text)
    seconds = float(match[1]) * SECONDS_IN[match[2]]
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


def whole(highest: int) -> Kind:
    """A whole number from 1 to `highest`."""

    def parse(text: str, _: Path) -> object:
        digits = text.strip()
        if not re.fullmatch("[0-9]{1,9}", digits) or not 1 <= int(digits) <= highest:
            raise ValueError(text)
        return int(digits)

    return Kind(f"a whole number from 1 to {highest}", parse)


def one_of(*words: str) -> Kind:
    """One of some words."""

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


ADDRESS = Kind(
    "HOST:PORT with a port from 1 to 65535, for example 127.0.0.1:49463 or [::1]:49463", _address
)
SECRET = Kind("ASCII letters, digits and signs without spaces", _secret)
SWITCHED = Kind("true or false", _switch)
ADDRESSES = Kind(
    "a list of IP addresses, with or without ports, for example 192.0.2.1 or [2001:db8::1]:443",
    _addresses,
)
HOSTS = Kind("a list of host names without ports", _hosts)
PATH = Kind("a path", _path)
URL = Kind("an http:// or https:// URL without user name, query and fragment", _url)
URLS = Kind("a list of http:// or https:// URLs without user name, query and fragment", _urls)
ENGINE_URLS = Kind("a list of nats:// or tls:// URLs without user name", _engine_urls)
SHARED_SECRET = Kind("ASCII letters, digits and signs without spaces and commas", _shared_secret)
SHARED_SECRETS = Kind(
    "a list of secrets: ASCII letters, digits and signs without spaces and commas", _secrets
)
WORD = Kind("1 to 32 letters, digits, '-' or '_'", _word)
ONE_OR_THREE = Kind("1 or 3", _one_or_three)
KEYS = Kind("names, each with a key of 32 letters and digits", _routing_keys_in_one_line)
TIME_OR_NEVER = Kind(
    "a time such as 24h, 90m or 45s, a number of seconds, up to 3650d, or never", _seconds_or_never
)
TIME = Kind("a time such as 7d, 12h, 30m or 45s, or a number of seconds, up to 3650d", _seconds)
LISTENERS = Kind("a list of HOST:PORT, or of addresses with tls_cert and tls_key", _listeners)
KEY_OR_NAME = Kind("@name or 32 letters and digits", _key_or_name)
COMMAND_LINE = Kind("a command line, run without a shell", _command_line)
MAIL_ADDRESSES = Kind("mail addresses, separated by commas", _mail_addresses)
