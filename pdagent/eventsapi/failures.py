"""Which failures mean that PagerDuty can't be reached, and which that it didn't answer.

urllib3 wraps the errors of `http.client`, `ssl` and `socket`, and some come through bare. So an
error is judged together with everything it wraps. Of requests, which only finds proxies and checks
URLs here, come those about URLs.
"""

from __future__ import annotations

import errno
import http.client
import os
import re
import socket
import ssl
from collections.abc import Iterator
from typing import Final

import requests.exceptions as of_requests
import urllib3.exceptions as of_urllib3

from actors.core.verdict import DeferReason

_Errors = tuple[type[BaseException], ...]


class SettingError(OSError):
    """A setting in the environment can't be used. The text names it, and not its value."""


class MayNotSendError(Exception):
    """Nothing of the request was written, because the client may not send now."""


NETWORK_FAILURES: Final = (
    OSError,  # requests' own errors are OSErrors too
    of_urllib3.HTTPError,
    http.client.HTTPException,
    ValueError,  # a proxy's URL in the environment that none of them understands
    Warning,  # under `python -W error`
)
"""What an attempt may raise because of the network or its settings."""

_PROXY: _Errors = (
    of_requests.InvalidProxyURL,
    of_urllib3.ProxyError,
    of_urllib3.ProxySchemeUnknown,
    of_urllib3.ProxySchemeUnsupported,
)
_NOT_SENT: _Errors = (
    *_PROXY,
    SettingError,
    of_requests.InvalidSchema,
    of_requests.InvalidURL,
    of_urllib3.ConnectTimeoutError,
    of_urllib3.SSLError,
    of_urllib3.LocationValueError,
    of_urllib3.InvalidHeader,
    socket.gaierror,
    socket.herror,
    ssl.SSLError,
    ConnectionRefusedError,
)
_BROKEN: _Errors = (
    of_urllib3.TimeoutError,
    of_urllib3.ProtocolError,
    of_urllib3.ClosedPoolError,
    http.client.IncompleteRead,
    http.client.RemoteDisconnected,
    ConnectionError,
    TimeoutError,
)
_NO_WAY_THERE = frozenset(
    {
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EADDRNOTAVAIL,
        errno.EMFILE,
        errno.ENFILE,
    }
)
_TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: (\d{3})\b")
_DEEPEST = 12


def reason_of(error: BaseException) -> DeferReason:
    """Why an attempt that ended with `error` is to be repeated."""
    chain = _chain(error)
    if _any(chain, _NOT_SENT):
        return "unreachable"
    if any(map(_is_garbage, chain)):
        return "not_understood"
    if _any(chain, _BROKEN):
        return "no_answer"
    for bare in chain:
        if isinstance(bare, OSError) and bare.errno is not None:
            return "unreachable" if bare.errno in _NO_WAY_THERE else "no_answer"
    return "not_understood"


def describe(error: BaseException) -> str:
    """One line for people, made of known parts only.

    Not of the errors' own texts: those may quote a header, a proxy's password, or an answer that
    quotes the event.
    """
    chain = _chain(error)
    where = next(filter(None, map(_place, chain)), "")
    proxy = "proxy: " if _any(chain, _PROXY) and not where else ""
    cause = next(filter(None, map(_cause, reversed(chain))), "")
    return where + proxy + (cause or _kind(chain))


def _kind(chain: list[BaseException]) -> str:
    if _any(chain, (TimeoutError,)):
        return "timed out"
    if _any(chain, (of_urllib3.LocationValueError, of_requests.InvalidURL, UnicodeError)):
        return "the host name is not valid"
    if _any(chain, _BROKEN):
        return "the connection broke"
    return "the attempt failed"


def _chain(error: BaseException) -> list[BaseException]:
    """`error` and all that it wraps, from the outside in, each once."""
    chain = [error]
    for outer in chain:
        for inner in _wrapped(outer):
            if len(chain) < _DEEPEST and all(inner is not known for known in chain):
                chain.append(inner)
    return chain


def _wrapped(error: BaseException) -> Iterator[BaseException]:
    candidates = (
        *error.args,
        getattr(error, "reason", None),
        getattr(error, "original_error", None),
        error.__cause__,
    )
    return (inner for inner in candidates if isinstance(inner, BaseException))


def _any(chain: list[BaseException], kinds: _Errors) -> bool:
    return any(isinstance(error, kinds) for error in chain)


def _is_garbage(error: BaseException) -> bool:
    """What `http.client` raises for an answer that isn't HTTP, not for one that isn't there."""
    return isinstance(error, http.client.HTTPException) and not isinstance(error, _BROKEN)


def _place(error: BaseException) -> str:
    """The host and port that were dialled, if `error` tells."""
    if not isinstance(error, of_urllib3.ConnectTimeoutError):
        return ""
    connection = getattr(error, "conn", None) or next(iter(error.args), None)
    host, port = getattr(connection, "host", None), getattr(connection, "port", None)
    if not isinstance(host, str):
        return ""
    proxy = "proxy " if getattr(connection, "proxy", None) else ""
    if dialled := getattr(connection, "dialled", None):
        host, port = f"{host} at {dialled[0]}", dialled[1] or port
    return f"{proxy}{host}:{port}: "


def _cause(error: BaseException) -> str:
    """What is known about one error of a chain; empty if a wrapping one may know more."""
    match error:
        case SettingError():
            return str(error)
        case ssl.SSLCertVerificationError(verify_message=str(message)):
            return f"TLS certificate not accepted: {message}"
        case ssl.SSLError(reason=str(reason)):
            return f"TLS failed: {reason.replace('_', ' ').lower()}"
        case ssl.SSLError() | of_urllib3.SSLError():
            return "TLS failed"
        case socket.gaierror():
            return f"the name can't be resolved: {error.strerror or 'unknown'}"
        case of_urllib3.ReadTimeoutError():
            return "no answer in time"
        case of_urllib3.NewConnectionError():
            return ""
        case of_urllib3.ConnectTimeoutError():
            return "timed out"
        case http.client.RemoteDisconnected():
            return "connection closed without an answer"
        case http.client.BadStatusLine() | http.client.LineTooLong():
            return "the answer is not HTTP"
        case OSError(args=(str(text),)) if refused := _TUNNEL_REFUSED.match(text):
            return f"CONNECT refused with HTTP {refused[1]}"
        case OSError(errno=int(number)):
            return os.strerror(number)
    return ""
