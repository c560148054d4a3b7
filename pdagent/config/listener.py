"""One address where the agent listens, and who can reach it."""

from __future__ import annotations

import ipaddress
import socket
import stat
from pathlib import Path
from typing import NamedTuple

_LOOPBACK = frozenset({"127.0.0.1", "::1"})
_ALL = frozenset({"0.0.0.0", "::"})


class Listener(NamedTuple):
    """`address` is `HOST:PORT`. With a certificate and its key (PEM) it speaks TLS."""

    address: str
    tls_cert: Path | None = None
    tls_key: Path | None = None

    @property
    def host(self) -> str:
        """The host of `address`, an IPv6 address without its brackets."""
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The TCP port of `address`."""
        return int(self.address.rpartition(":")[2])

    @property
    def is_local(self) -> bool:
        """Whether only programs on this host can reach it.

        A name other than localhost may mean anything to the resolver: it counts as reachable.
        """
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def is_at(self, host: str, port: int) -> bool:
        """Whether `host`, in lower case, with `port` certainly leads here. No name is resolved."""
        if port != self.port:
            return False
        there, here = _meant_by(host), _meant_by(self.host.lower())
        if here & _ALL:
            return host == socket.gethostname().lower() or any(map(is_of_this_host, there))
        return bool(there & here)

    def problem(self, *, secret: bool) -> str | None:
        """Why the agent can't listen there, in one line; `secret`: one is set."""
        if not secret and not self.is_local:
            return (
                f"address {self.address} can be reached by other hosts and no secret is set: "
                "set 'secret' in the config, or an address on 127.0.0.1"
            )
        if (self.tls_cert is None) != (self.tls_key is None):
            given, missing = ("tls_cert", "tls_key") if self.tls_cert else ("tls_key", "tls_cert")
            return f"{given} is set without {missing}: TLS needs both"
        for name, path in (("tls_cert", self.tls_cert), ("tls_key", self.tls_key)):
            if path is not None and not path.is_file():
                return f"{name}: there is no file {path}"
        return None

    def warnings(self, *, require_secret: bool) -> list[str]:
        """What leaves the agent less protected than it could be, one sentence each."""
        found = []
        if not self.is_local and not require_secret:
            found.append(
                f"other hosts can send events to {self.address} without the secret: set "
                "'require_secret: true' and put the secret into your tools' URLs, "
                "or keep others out with a firewall"
            )
        if self.tls_key is not None and self.tls_key.stat().st_mode & stat.S_IROTH:
            found.append(f"every user can read the private key: run 'chmod 600 {self.tls_key}'")
        return found


def is_of_this_host(address: str) -> bool:
    """Whether `address` is an IP address of this host."""
    try:
        if ipaddress.ip_address(address).is_unspecified:
            return False  # lists of blocked sites have it
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except (OSError, ValueError):
        return False
    return True


def _meant_by(host: str) -> frozenset[str]:
    """The IP addresses that `host` certainly means, or itself."""
    if host == "localhost" or host.endswith(".localhost"):
        return _LOOPBACK
    try:
        return frozenset({str(ipaddress.ip_address(host))})
    except ValueError:
        return frozenset({host})
