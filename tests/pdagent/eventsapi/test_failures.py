"""Every error that requests and what is below it may raise comes to a verdict."""

from __future__ import annotations

import errno
import http.client
import inspect
import os
import socket
import ssl

import pytest
import requests.exceptions
import urllib3.exceptions
from urllib3.connection import HTTPConnection

from pdagent.eventsapi.failures import NETWORK_FAILURES, reason_of
from pdagent.eventsapi.verdict import verdict_of_failure
from tests.pdagent.eventsapi.samples import KEY, SECRET_SUMMARY


def exceptions_of(module: object) -> list[tuple[str, type[BaseException]]]:
    found = inspect.getmembers(
        module, lambda member: inspect.isclass(member) and issubclass(member, BaseException)
    )
    return [(name, kind) for name, kind in found if not name.startswith("_")]


def made(kind: type[BaseException]) -> BaseException:
    """An instance, also of those that want a pool or a connection to be made."""
    error = kind.__new__(kind)
    error.args = ("something",)
    return error


@pytest.mark.parametrize(
    "module",
    [requests.exceptions, urllib3.exceptions, http.client, ssl, socket],
    ids=lambda module: module.__name__,
)
def test_each_exception_has_a_verdict(module: object) -> None:
    for _, kind in exceptions_of(module):
        found = verdict_of_failure(made(kind), 1.5)
        assert found.seconds == 1.5
        assert found.reason in ("no_answer", "unreachable", "not_understood")
        assert found.detail
        if issubclass(kind, Exception):
            assert issubclass(kind, NETWORK_FAILURES)


UNREACHABLE = ["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "ENETDOWN", "EADDRNOTAVAIL", "EMFILE"]


def test_each_bare_error_number_has_a_verdict() -> None:
    for number, name in errno.errorcode.items():
        expected = "unreachable" if name in (*UNREACHABLE, "EHOSTDOWN", "ENFILE") else "no_answer"
        assert reason_of(OSError(number, os.strerror(number))) == expected, name


def refused() -> Exception:
    error = urllib3.exceptions.NewConnectionError(HTTPConnection("pd.test", 443), "no")
    error.__cause__ = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    return error


def gave_up(reason: Exception) -> Exception:
    return urllib3.exceptions.MaxRetryError(None, "/", reason)  # type: ignore[arg-type]


def aborted(reason: Exception) -> Exception:
    return urllib3.exceptions.ProtocolError("Connection aborted.", reason)


RESET = ConnectionResetError(errno.ECONNRESET, "reset")


@pytest.mark.parametrize(
    ("inner", "reason", "detail"),
    [
        (gave_up(refused()), "unreachable", "pd.test:443: Connection refused"),
        (
            gave_up(urllib3.exceptions.SSLError(ssl.SSLError(1, "x"))),
            "unreachable",
            "TLS failed",
        ),
        (
            gave_up(urllib3.exceptions.ProxyError("no", OSError(errno.ECONNREFUSED, "x"))),
            "unreachable",
            "proxy: Connection refused",
        ),
        (
            urllib3.exceptions.ProxyError(
                "no", OSError("Tunnel connection failed: 407 Proxy Authentication Required")
            ),
            "unreachable",
            "proxy: CONNECT refused with HTTP 407",
        ),
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "unreachable",
            "the name can't be resolved: Name or service not known",
        ),
        (aborted(RESET), "no_answer", "Connection reset by peer"),
        (aborted(TimeoutError("timed out")), "no_answer", "timed out"),
        (aborted(OSError(errno.EHOSTUNREACH, "x")), "no_answer", "No route to host"),
        (
            aborted(http.client.RemoteDisconnected("x")),
            "no_answer",
            "connection closed without an answer",
        ),
        (aborted(http.client.IncompleteRead(b"x")), "no_answer", "the connection broke"),
        (aborted(http.client.BadStatusLine("x")), "not_understood", "the answer is not HTTP"),
        (aborted(http.client.LineTooLong("x")), "not_understood", "the answer is not HTTP"),
    ],
)
def test_an_error_is_judged_by_what_it_wraps(inner: Exception, reason: str, detail: str) -> None:
    found = verdict_of_failure(inner, 0.0)
    assert (found.reason, found.detail) == (reason, detail)


def test_errors_that_wrap_each_other_are_judged() -> None:
    one, other = ConnectionResetError("one"), TimeoutError("other")
    one.__cause__, other.__cause__ = other, one
    assert reason_of(one) == "no_answer"


@pytest.mark.parametrize("module", [requests.exceptions, urllib3.exceptions, http.client, ssl])
def test_no_text_of_an_error_gets_into_the_detail(module: object) -> None:
    secret = f"{SECRET_SUMMARY} {KEY} proxy-password"
    for _, kind in exceptions_of(module):
        error = made(kind)
        error.args = (secret, OSError(secret), http.client.BadStatusLine(secret))
        detail = verdict_of_failure(error, 0.0).detail
        assert not any(word in detail for word in secret.split())
