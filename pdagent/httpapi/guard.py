"""Who may call: the shared secret for operators, and nobody's web page at all."""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
import os
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path

import falcon
import falcon.asgi

from pdagent.config import Config
from pdagent.config.certificates import is_address, names_in
from pdagent.config.listener import is_of_this_host

logger = logging.getLogger(__name__)

Header = Callable[[str], str | None]
"""The value of the header with this name, which is in lower case, or None."""

_HOST = re.compile(
    r"(?:([a-z0-9_][a-z0-9._-]*)|\[([0-9a-f:.]+)\]|([0-9a-f:.]*:[0-9a-f:.]*))(?::[0-9]{1,5})?"
)
_HOSTS_FILE = Path("/etc/hosts")
_LOOK_UP_AGAIN_AFTER = 60.0  # seconds
_LOG_AGAIN_AFTER = 3600.0  # seconds


class BrowserGuard:
    """Refuses what only a web browser sends: a page must not reach the agent on its user's host.

    A cross-origin request carries `Origin`, or where that is left out (images, links)
    `Sec-Fetch-Site`; one that came by DNS rebinding carries a foreign `Host`. So on loopback the
    names of this host are accepted, `allowed_hosts`, those that the agent's certificate proves, and
    any IP address, which can't be rebound. A name isn't looked up: in a rebinding attack it
    leads to this host. Other hosts reach an agent under names that it can't know; there,
    any name is accepted: the secret is required, and a page doesn't have it.
    This protects whatever the type of the body: a form can be sent without asking the agent first,
    and its text can be valid JSON.
    """

    def __init__(self, config: Config) -> None:
        local = {listener.port for listener in config.listeners if listener.is_local}
        others = {listener.port for listener in config.listeners} if config.secret else set()
        self._ports_for_any_name = others - local
        self._names = {"localhost", *config.allowed_hosts}
        for listener in config.listeners:
            self._names.add(listener.host.lower())
            if listener.tls_cert is not None:
                self._names |= names_in(listener.tls_cert)
        # Hosts that were let in, each with whether it came where any name is let in.
        self._known: set[tuple[str, bool]] = set()
        self._looking_up = asyncio.Lock()
        self._look_up_at = self._log_at = 0.0

    async def process_request(
        self, request: falcon.asgi.Request, response: falcon.asgi.Response
    ) -> None:
        """Falcon calls this before routing."""
        _, port = request.scope.get("server") or (None, None)
        if not self.lets_in(request.get_header, port):
            await self._check(request.get_header("Host") or "", self._takes_any_name(port))

    def lets_in(self, header: Header, port: int | None) -> bool:
        """Whether a request with these headers is let in; False if its `Host` must be looked at.

        `port` is the agent's. Raises 403 for a request of a web page.
        """
        if header("origin") is not None or _is_from_elsewhere(header):
            raise self._refusal(
                "requests from web pages (Origin header) are refused: "
                "use the command line or a tool on this host"
            )
        host = header("host")
        return not host or (host, self._takes_any_name(port)) in self._known

    def _takes_any_name(self, port: int | None) -> bool:
        return port in self._ports_for_any_name

    async def _check(self, header: str, any_name: bool) -> None:
        match = _HOST.fullmatch(header.lower())
        if match is None:
            raise self._refusal("the Host header is malformed: it must be HOST or HOST:PORT")
        name = (match[1] or match[2] or match[3]).rstrip(".")
        if any_name or is_address(name) or await self._is_ours(name):
            if len(self._known) < 100:
                self._known.add((header, any_name))
            return
        raise self._refusal(
            f"the Host header names another host ({name:.253}): use the agent's address as it "
            "stands in its config, or add the name to 'allowed_hosts' there"
        )

    async def _is_ours(self, name: str) -> bool:
        # Browsers take all names under localhost for loopback, without DNS.
        if name in self._names or name.endswith(".localhost"):
            return True
        async with self._looking_up:
            if time.monotonic() >= self._look_up_at:
                # In a thread: the name server may not answer.
                self._names |= await asyncio.to_thread(names_of_this_host)
                self._look_up_at = time.monotonic() + _LOOK_UP_AGAIN_AFTER
        return name in self._names

    def _refusal(self, why: str) -> falcon.HTTPForbidden:
        if time.monotonic() >= self._log_at:
            self._log_at = time.monotonic() + _LOG_AGAIN_AFTER
            logger.warning("a request was refused: %s (logged at most once an hour)", why)
        return falcon.HTTPForbidden(description=why)


def names_of_this_host(hosts_file: Path = _HOSTS_FILE) -> set[str]:
    """Host name, FQDN, and what the hosts file calls this host's addresses, in lower case.

    Blocks while the FQDN is looked up.
    """
    names = {socket.gethostname()}
    try:
        found = socket.getaddrinfo(socket.gethostname(), None, flags=socket.AI_CANONNAME)
        names |= {canonical for *_, canonical, _ in found}
    except (OSError, UnicodeError):
        pass  # no FQDN
    try:
        lines = hosts_file.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    ours: dict[str, bool] = {}
    for line in lines:
        address, *aliases = line.partition("#")[0].split() or [""]
        if address not in ours:
            ours[address] = is_of_this_host(address)
        if ours[address]:
            names.update(aliases)
    return {name.lower().rstrip(".") for name in names} - {""}


def _is_from_elsewhere(header: Header) -> bool:
    # "none" is an address that the browser's user has typed in.
    return header("sec-fetch-site") not in (None, "none", "same-origin")


PEER = "pdagent.peer_uid"
"""In the state of a connection over the Unix socket: the user id of the other side."""


def peer_of(request: falcon.asgi.Request) -> int | None:
    """The user id of a sender on the Unix socket, as the kernel knows it; None over TCP."""
    uid: int | None = request.scope.get("state", {}).get(PEER)
    return uid


class Secret:
    """Checks `Authorization: token SECRET`, `Bearer SECRET` or HTTP Basic, in constant time.

    With HTTP Basic, which clients make of `http://anything:SECRET@host/`, the password counts.
    Over the Unix socket root and the agent's own user need no secret; nor does anybody whom the
    socket's mode lets in where `local` says so. Of several `secrets` each will do.
    """

    which = "the secret"
    """Of which setting it is."""

    def __init__(self, *secrets: str, local: bool = False) -> None:
        self._secrets = [secret.encode() for secret in secrets if secret]
        self._local = local

    def check(self, header: Header, uid: int | None) -> None:
        """Raise 401 unless a request brings the secret, needs none, or none is configured.

        `uid` is the user id of its sender, None over TCP.
        """
        if self._secrets and not self._lets_in(uid) and not self._is_in(header):
            raise falcon.HTTPUnauthorized(
                description="the secret is missing or wrong: send 'Authorization: token SECRET' "
                f"with {self.which} of the agent's config, or put it into the URL as the password",
                challenges=["token", 'Basic realm="pagerduty-agent"'],
            )

    def _lets_in(self, uid: int | None) -> bool:
        return uid is not None and (self._local or uid in (0, os.geteuid()))

    def _is_in(self, header: Header) -> bool:
        scheme, _, text = (header("authorization") or "").partition(" ")
        given = _secret_in(scheme.lower(), text.strip())
        # Each is compared: the time does not tell which of them was close.
        return sum(hmac.compare_digest(given, secret) for secret in self._secrets) > 0


class HostsSecret(Secret):
    """A relay's: nobody sends it events without one of its `accept_secrets`."""

    which = "one of the accept_secrets"

    def _lets_in(self, uid: int | None) -> bool:
        return False


def secret_for_events(config: Config, *, needed: bool) -> Secret:
    """What checks requests with events; `needed` says that they need the secret of the config."""
    if config.accept_secrets:
        return HostsSecret(*config.accept_secrets)
    return Secret(config.secret if needed else "", local=True)


def _secret_in(scheme: str, given: str) -> bytes:
    if scheme in ("token", "bearer"):
        return given.encode()
    try:
        return base64.b64decode(given).partition(b":")[2] if scheme == "basic" else b""
    except ValueError:
        return b""
