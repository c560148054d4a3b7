"""The agent's settings, and the rules that hold between them.

A `Config` is complete: every default is filled in. `pdagent/config/loading.py` reads settings and
refuses bad ones; `pdagent/config/options.py` explains each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pdagent.config.listener import Listener

DEFAULT_ADDRESS = "127.0.0.1:49463"
EVENTS_URLS = {"us": "https://events.pagerduty.com", "eu": "https://events.eu.pagerduty.com"}
API_URLS = {"us": "https://api.pagerduty.com", "eu": "https://api.eu.pagerduty.com"}
_DAY = 86400.0  # seconds


class ConfigError(Exception):
    """A setting can't be used. The text is one line: where, what, and what is allowed."""


class FlagError(ConfigError):
    """The setting that can't be used was given on the command line."""


class StartRefused(Exception):
    """The server can't start. The text is one line for the person who started it."""


def expanded(text: str) -> Path:
    """`text` as a path, a leading `~` replaced unless this user has no home directory."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        if text.partition("/")[0] != "~":
            raise
        return Path(text)


def needed(path: Path | None) -> Path:
    """`path`, a setting: a file or directory that a command can't do without.

    Raises:
        ConfigError: It is in the home directory of a user who has none.
    """
    assert path is not None
    if path.parts[:1] == ("~",):
        raise ConfigError(
            f"{path}: this user has no home directory: set the environment variable HOME"
        )
    return path


@dataclass(frozen=True, kw_only=True, repr=False)
class Config:
    """The settings of one agent, as the server and the commands that talk to it use them.

    `address` is `HOST:PORT`; `retention` is in seconds, `max_journal_mb` in MiB,
    `max_queue_length` in events per routing key, `give_up_after` and `notify_unreachable_after` in
    seconds (`math.inf`: never). An empty text means that nothing is set; `secret` and
    `routing_keys` hold what was read from `secret_file` and `routing_keys_file`. The URLs have no
    trailing slash and default to those of `region`. `deliver_via` has IP addresses and ports, None
    for that of `events_url`. With `relays` the agent delivers to one of them, with `engine_urls` it
    is one.
    """

    address: str = DEFAULT_ADDRESS
    listen: tuple[Listener, ...] = ()
    socket: Path | None = None
    secret: str = ""
    secret_file: Path | None = None
    require_secret: bool = False
    allowed_hosts: tuple[str, ...] = ()
    database: Path = field(default_factory=lambda: expanded("~/.pagerduty-agent/journal"))
    pidfile: Path = field(default_factory=lambda: expanded("~/.pagerduty-agent/pidfile"))
    spool: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    region: Literal["us", "eu"] = "us"
    events_url: str = ""
    api_url: str = ""
    deliver_via: tuple[tuple[str, int | None], ...] = ()
    relays: tuple[str, ...] = ()
    relay_secret: str = ""
    relay_secret_file: Path | None = None
    relay_ca: Path | None = None
    acknowledge: Literal["local", "relay"] = "local"
    accept_secrets: tuple[str, ...] = ()
    engine_urls: tuple[str, ...] = ()
    engine_credentials: Path | None = None
    engine_ca: Path | None = None
    engine_name: str = "pagerduty"
    engine_replicas: int = 3
    routing_keys: dict[str, str] = field(default_factory=dict)
    routing_keys_file: Path | None = None
    max_in_flight: int = 64
    max_attempts: int = 60
    give_up_after: float = _DAY
    max_queue_length: int = 100_000
    max_journal_mb: int = 1024
    retention: float = 7 * _DAY
    notify_routing_key: str = ""
    notify_command: str = ""
    notify_email: str = ""
    notify_unreachable_after: float = 600.0
    heartbeat: bool = True
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["console", "json"] = "console"

    def __post_init__(self) -> None:
        if not self.events_url:
            object.__setattr__(self, "events_url", EVENTS_URLS[self.region])
        if not self.api_url:
            object.__setattr__(self, "api_url", API_URLS[self.region])

    def __repr__(self) -> str:
        return f"Config(address={self.address!r}, database={str(self.database)!r})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """What rich may show: like `repr`, no secret and no routing key."""
        return [("address", self.address), ("database", str(self.database))]

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """Where the agent listens: `address` first, then `listen`."""
        return (Listener(self.address, self.tls_cert, self.tls_key), *self.listen)

    @property
    def host(self) -> str:
        """The host of `address`, an IPv6 address without its brackets."""
        return self.listeners[0].host

    @property
    def port(self) -> int:
        """The TCP port of `address`."""
        return self.listeners[0].port

    @property
    def called_at(self) -> str:
        """Where commands reach the agent: the path of `socket`, or `address`."""
        return str(self.socket or self.address)

    @property
    def delivers_to(self) -> str:
        """What takes this agent's events, in words."""
        return "the relay" if self.relays else "PagerDuty"

    @property
    def sends_heartbeat(self) -> bool:
        """Whether to send heartbeats: not from an agent that delivers to somewhere else."""
        elsewhere = bool(self.relays) or self.events_url != EVENTS_URLS[self.region]
        return self.heartbeat and (not elsewhere or self.api_url != API_URLS[self.region])

    def check(self) -> None:
        """Refuse settings with which the agent would be open to others, or deliver nothing.

        Raises:
            StartRefused: Without a secret, on an address that other hosts can reach or with
                `require_secret`; with a certificate and key that aren't both there; with one of
                the addresses as `events_url` or relay; with settings of relays that don't fit.
        """
        if not self.secret and self.require_secret:
            raise StartRefused("require_secret is set and no secret: set 'secret' in the config")
        for listener in self.listeners:
            if problem := listener.problem(secret=bool(self.secret)):
                raise StartRefused(problem)
            for name, url, instead in self._targets():
                target = urlsplit(url)
                port = target.port or (443 if target.scheme == "https" else 80)
                if listener.is_at(target.hostname or "", port):
                    raise StartRefused(
                        f"{name} {url} is where this agent itself listens ({listener.address}): "
                        f"{instead}"
                    )
        if self.relays or self.engine_urls or self.acknowledge == "relay" or self.accept_secrets:
            from pdagent.config.relaying import check_relaying

            check_relaying(self)

    def _targets(self) -> list[tuple[str, str, str]]:
        """Where events go: the setting, the URL, and what to do if that is this agent."""
        if self.relays:
            return [("relays:", url, "name other hosts' relays") for url in self.relays]
        instead = "set PagerDuty's address, or leave events_url out"
        return [("events_url", self.events_url, instead)]

    def listener_warnings(self) -> list[str]:
        """What leaves the agent less protected than it could be, one sentence each."""
        found: dict[str, None] = {}
        for listener in self.listeners:
            protected = self.require_secret or bool(self.accept_secrets)
            found |= dict.fromkeys(listener.warnings(require_secret=protected))
        return list(found)
