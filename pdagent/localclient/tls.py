"""TLS on the way to the agent on this host: one certificate is pinned; mix-ups are recognised."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from pdagent.config import Config
from pdagent.localclient.errors import WrongTls

_PROBE_SECONDS = 2.0
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL")


def pinned(plain: socket.socket, expected: bytes, config: Config) -> ssl.SSLSocket:
    """`plain` with TLS, if the other side holds the certificate `expected`.

    It must have that certificate's private key, so its names, dates and issuer add nothing: it may
    have been issued for another name of this host. Raises `WrongTls`, or OSError if the connection
    ends.
    """
    try:
        secure = _any_certificate().wrap_socket(plain)
    except ssl.SSLEOFError:
        raise
    except ssl.SSLError as error:
        why = (error.reason or "failed").replace("_", " ").lower()
        raise WrongTls(
            f"what listens at {config.address} does not speak TLS, as tls_cert in the config asks "
            f"({'it speaks plain HTTP' if error.reason in _NOT_TLS else why}): start the agent "
            "with tls_cert and tls_key, or leave tls_cert out here"
        ) from None
    if secure.getpeercert(binary_form=True) != expected:
        secure.close()
        raise WrongTls(
            f"what listens at {config.address} can't be trusted: its certificate isn't the one in "
            f"tls_cert ({config.tls_cert})"
        )
    return secure


def _any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def certificate_in(certificate: Path) -> bytes:
    """The first certificate (DER) in a file (PEM). Raises `WrongTls`."""
    try:
        text, end, _ = certificate.read_text("ascii", "replace").partition(_END)
        return ssl.PEM_cert_to_DER_cert(text[text.find(_BEGIN) :] + end)
    except OSError as error:
        raise WrongTls(f"can't read tls_cert {certificate}: {error.strerror}") from None
    except ValueError:
        raise WrongTls(f"tls_cert {certificate} holds no certificate in PEM form") from None


def speaks_tls(host: str, port: int) -> bool:
    """Whether a server there completes a TLS handshake."""
    try:
        with (
            socket.create_connection((host, port), timeout=_PROBE_SECONDS) as plain,
            _any_certificate().wrap_socket(plain),
        ):
            return True
    except (OSError, ValueError):
        return False
