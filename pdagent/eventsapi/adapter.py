"""requests' adapter with lean connections, a TLS context that is loaded once, and keepalive."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH, select_proxy
from urllib3 import HTTPConnectionPool
from urllib3.util.ssl_ import create_urllib3_context

from pdagent.eventsapi.connection import Address, CurrentConnection, lean_pools
from pdagent.eventsapi.failures import NETWORK_FAILURES, SettingError

# A password with one of these characters ends the host too early: a part of it would be dialled.
_HIDDEN_AT = re.compile(r"^(?:\w+://)?+[^/?#]*[/?#].*@")

_KEEPALIVE = {
    "TCP_KEEPIDLE": 5,  # seconds of silence before the first probe
    "TCP_KEEPALIVE": 5,  # the same on macOS
    "TCP_KEEPINTVL": 3,  # seconds between probes
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 12_000,  # milliseconds that sent bytes may go without a sign of life
}

SOCKET_OPTIONS = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in _KEEPALIVE.items()
        if hasattr(socket, name)
    ),
]
"""A peer that is gone is noticed in 12 to 15 s, also while its answer is awaited."""


class DeliveryAdapter(HTTPAdapter):
    """Kept-alive connections for one thread, one per host. Retries nothing.

    `ca` are the certificates to trust, None for those of the environment. `may_send` is asked right
    before each request is written, which may be long after it was begun.
    """

    def __init__(
        self,
        via: tuple[Address, ...] = (),
        ca: Path | None = None,
        may_send: Callable[[], bool] | None = None,
    ) -> None:
        self._in_use = CurrentConnection(may_send)
        self._via = via
        self._ca = ca
        self._verify: bool | str = True
        super().__init__(pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Called by `HTTPAdapter.__init__`."""
        super().init_poolmanager(*args, socket_options=SOCKET_OPTIONS, **kwargs)
        self._make_lean(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """The pool manager for `proxy`; its TLS is checked like PagerDuty's."""
        known = proxy in self.proxy_manager
        if proxy.lower().startswith("https:"):
            kwargs["proxy_ssl_context"] = self._context(self._verify)
        manager = super().proxy_manager_for(proxy, socket_options=SOCKET_OPTIONS, **kwargs)
        if not known:
            self._make_lean(manager)
        return manager

    def pool_for(self, request: PreparedRequest, settings: Mapping[str, Any]) -> HTTPConnectionPool:
        """The pool whose one connection leads to the URL, by a proxy if the environment says so.

        `settings` are those that `Session.merge_environment_settings` found.

        Raises `SettingError` where proxy or certificates are unusable.
        """
        verify, proxies = settings["verify"], settings["proxies"]
        self._verify = verify
        proxy = select_proxy(str(request.url), proxies)
        try:
            if proxy and _HIDDEN_AT.search(proxy):
                raise ValueError
            pool = self.get_connection_with_tls_context(request, verify, proxies=proxies)
        except SettingError:
            raise
        except NETWORK_FAILURES:
            if not proxy:
                raise
            raise SettingError(f"{_variable_of(proxy)}: {_problem_of(proxy)}") from None
        return cast(HTTPConnectionPool, pool)

    def build_connection_pool_key_attributes(
        self, request: PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        """Like requests, but with a context: urllib3 would read the bundle at each connect."""
        host, tls = super().build_connection_pool_key_attributes(request, verify, cert)
        if host["scheme"] == "https":
            tls = {"cert_reqs": "CERT_REQUIRED", "ssl_context": self._context(verify)}
        return host, tls

    def forget(self) -> None:
        """Close idle connections; proxies are looked up again."""
        super().close()
        self.proxy_manager.clear()

    def close(self) -> None:
        """Close all connections for good, and wake the thread that waits for an answer on one."""
        self._in_use.close()
        self.forget()

    def _make_lean(self, manager: Any) -> None:
        manager.pool_classes_by_scheme = lean_pools(
            manager.pool_classes_by_scheme, self._in_use, self._via
        )

    def _context(self, verify: bool | str) -> ssl.SSLContext:
        """The same for all adapters of the process, until the file of the bundle has changed."""
        setting, cafile, capath = (
            ("relay_ca", str(self._ca), None) if self._ca else _authorities(verify)
        )
        try:
            if not cafile and capath and not any(map(os.path.isdir, capath.split(os.pathsep))):
                raise FileNotFoundError(errno.ENOENT, "No such directory")
            # Of a directory OpenSSL reads what it needs when it needs it.
            stamp = cafile and (cafile, Path(cafile).stat().st_mtime_ns), capath
            return _loaded(stamp, cafile, capath)
        except OSError as error:
            pem = isinstance(error, ssl.SSLError)
            why = "not a file of certificates in PEM format" if pem else error.strerror
            raise SettingError(f"{setting}: {cafile or capath}: {why}") from None


_loading = threading.Lock()
_last_loaded: list[tuple[object, ssl.SSLContext]] = []


def _loaded(stamp: object, cafile: str | None, capath: str | None) -> ssl.SSLContext:
    """The context with these certificates. Loading a bundle takes 25 to 40 ms of CPU and 1 MB."""
    with _loading:
        if not _last_loaded or _last_loaded[0][0] != stamp:
            context = create_urllib3_context()
            context.load_verify_locations(cafile, capath)
            _last_loaded[:] = [(stamp, context)]
        return _last_loaded[0][1]


def _variable_of(proxy: str) -> str:
    """The environment's variable that names the proxy."""
    names = (name for name, value in os.environ.items() if value == proxy)
    return next((name for name in names if name.lower().endswith("_proxy")), "proxy")


def _problem_of(proxy: str) -> str:
    scheme = proxy.partition("://")[0].lower() if "://" in proxy else "http"
    if scheme.startswith("socks"):
        return "SOCKS proxies are not supported: set a proxy with http:// or https://"
    if scheme not in ("http", "https"):
        return "a proxy's URL begins with http:// or https://"
    return (
        "not a valid URL: write http://USER:PASSWORD@HOST:PORT, and special characters of USER "
        "and PASSWORD percent-encoded (@ as %40, / as %2F)"
    )


def _authorities(verify: bool | str) -> tuple[str, str | None, str | None]:
    """The setting, and the file and the directory of trusted certificates that it names.

    requests' own variables (REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE) come first, in `verify`; then
    OpenSSL's, which requests ignores; then the bundle that comes with requests.
    """
    if isinstance(verify, str):
        name = "REQUESTS_CA_BUNDLE" if os.environ.get("REQUESTS_CA_BUNDLE") else "CURL_CA_BUNDLE"
        return (name, None, verify) if Path(verify).is_dir() else (name, verify, None)
    cafile, capath = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if cafile or capath:
        return "SSL_CERT_FILE" if cafile else "SSL_CERT_DIR", cafile or None, capath or None
    return "trusted certificates", DEFAULT_CA_BUNDLE_PATH, None
