"""The agent's settings, and the rules that hold between them.

A `Config` is complete: every default is filled in. `pdagent/config/loading.py` reads settings and
refuses bad ones; `pdagent/config/options.py` explains each.
"""

from __future__ import annotations

import ipaddress
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

DEFAULT_ADDRESS = "127.0.0.1:49463"
EVENTS_URLS = {"us": "https://events.pagerduty.com", "eu": "https://events.eu.pagerduty.com"}
API_URLS = {"us": "https://api.pagerduty.com", "eu": "https://api.eu.pagerduty.com"}
_DAY = 86400.0


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
    for that of `events_url`.
    """

    address: str = DEFAULT_ADDRESS
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
    routing_keys: dict[str, str] = field(default_factory=dict)
    routing_keys_file: Path | None = None
    max_in_flight: int = 16
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
    def host(self) -> str:
        """The host of `address`, an IPv6 address without its brackets."""
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The TCP port of `address`."""
        return int(self.address.rpartition(":")[2])

    @property
    def called_at(self) -> str:
        """Where commands reach the agent: the path of `socket`, or `address`."""
        return str(self.socket or self.address)

    @property
    def is_local(self) -> bool:
        """Whether only programs on this host can reach `address`.

        A name other than localhost may mean anything to the resolver: it counts as reachable.
        """
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def sends_heartbeat(self) -> bool:
        """Whether to send heartbeats: not from an agent that delivers to somewhere else."""
        elsewhere = self.events_url != EVENTS_URLS[self.region]
        return self.heartbeat and (not elsewhere or self.api_url != API_URLS[self.region])

    def check_listener(self) -> None:
        """Refuse an address that would leave the agent open to others.

        Raises:
            StartRefused: Without a secret, on an address that other hosts can reach or with
                `require_secret`, or with a certificate and key that aren't both there.
        """
        if not self.secret and self.require_secret:
            raise StartRefused("require_secret is set and no secret: set 'secret' in the config")
        if not self.secret and not self.is_local:
            raise StartRefused(
                f"address {self.address} can be reached by other hosts and no secret is set: "
                "set 'secret' in the config, or an address on 127.0.0.1"
            )
        if (self.tls_cert is None) != (self.tls_key is None):
            given, missing = ("tls_cert", "tls_key") if self.tls_cert else ("tls_key", "tls_cert")
            raise StartRefused(f"{given} is set without {missing}: TLS needs both")
        for name, path in (("tls_cert", self.tls_cert), ("tls_key", self.tls_key)):
            if path is not None and not path.is_file():
                raise StartRefused(f"{name}: there is no file {path}")

    def listener_warnings(self) -> list[str]:
        """What leaves the agent less protected than it could be, one sentence each."""
        found = []
        if not self.is_local and not self.require_secret:
            found.append(
                f"other hosts can send events to {self.address} without the secret: set "
                "'require_secret: true' and put the secret into your tools' URLs, "
                "or keep others out with a firewall"
            )
        if self.tls_key is not None and self.tls_key.stat().st_mode & stat.S_IROTH:
            found.append(f"every user can read the private key: run 'chmod 600 {self.tls_key}'")
        return found
