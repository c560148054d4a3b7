"""Who may call: the shared secret for operators, and nobody's web page at all."""

from __future__ import annotations

import hmac
import ipaddress
import socket

import falcon
import falcon.asgi

from pdagent.config import Config
from pdagent.config.certificates import names_in


class BrowserGuard:
    """Refuses what only a web browser sends: a page must not reach the agent on its user's host.

    A cross-origin request carries `Origin`, or where that is left out (images, links)
    `Sec-Fetch-Site`; one that came by DNS rebinding carries a foreign `Host`. An IP address can't
    be rebound, so any is fine, and a name that the agent's certificate proves is no foreign one.
    This protects whatever the type of the body: a form can be sent without asking the agent first,
    and its text can be valid JSON.
    """

    def __init__(self, config: Config) -> None:
        self._names = {"localhost", config.host.lower(), socket.gethostname().lower()}
        if config.tls_cert is not None:
            self._names |= names_in(config.tls_cert)
        self._known: set[str] = set()

    async def process_request(
        self, request: falcon.asgi.Request, response: falcon.asgi.Response
    ) -> None:
        """Falcon calls this before routing."""
        if request.get_header("Origin") is not None or _is_from_elsewhere(request):
            raise falcon.HTTPForbidden(
                description="requests from web pages (Origin header) are refused: "
                "use the command line or a tool on this host"
            )
        host = request.get_header("Host")
        if host is not None and host not in self._known:
            if not self._is_ours(host):
                raise falcon.HTTPForbidden(
                    description="the Host header names another host: "
                    "use the agent's address as it stands in its config"
                )
            if len(self._known) < 100:
                self._known.add(host)

    def _is_ours(self, header: str) -> bool:
        host = header.lower()
        if host.startswith("["):
            host = host[1:].partition("]")[0]
        elif host.count(":") <= 1:
            host = host.partition(":")[0]
        if host in self._names:
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True


def _is_from_elsewhere(request: falcon.asgi.Request) -> bool:
    # "none" is an address that the browser's user has typed in.
    return request.get_header("Sec-Fetch-Site") not in (None, "none", "same-origin")


class Secret:
    """Checks `Authorization: token SECRET` or `Bearer SECRET` in constant time."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def check(self, request: falcon.asgi.Request) -> None:
        """Raise 401 unless the request brings the secret, or none is configured."""
        if not self._secret:
            return
        scheme, _, given = (request.get_header("Authorization") or "").partition(" ")
        known_scheme = scheme.lower() in ("token", "bearer")
        if not hmac.compare_digest(given.strip().encode(), self._secret) or not known_scheme:
            raise falcon.HTTPUnauthorized(
                description="the secret is missing or wrong: send 'Authorization: token SECRET' "
                "with the secret of the agent's config",
                challenges=["token"],
            )
