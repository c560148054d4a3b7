"""TLS on the way to the agent on this host: one certificate is pinned; mix-ups are recognised."""

from __future__ import annotations

import re
import socket
import ssl
from pathlib import Path

from pdagent.config import Config
from pdagent.localclient.errors import AgentError, BadCertificate, Broken, OtherScheme, Unreachable
from pdagent.localclient.exchange import connect

_PROBE_SECONDS = 2.0
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL")


def connect_pinned(host: str, config: Config) -> ssl.SSLSocket:
    """A TLS connection to the holder of the certificate in `tls_cert`, and to nobody else.

    The other side must have that certificate's private key, so its names, dates and issuer add
    nothing: it may have been issued for another name of this host. Raises `Unreachable` or
    `Broken`.
    """
    assert config.tls_cert is not None
    expected = _der(config.tls_cert)
    plain = connect(host, config.port)
    try:
        secure = _any_certificate().wrap_socket(plain, server_hostname=host)
        if secure.getpeercert(binary_form=True) != expected:
            raise OtherScheme(
                f"what listens at {config.address} can't be trusted: its certificate isn't the "
                f"one in tls_cert ({config.tls_cert})"
            )
    except BaseException as error:
        plain.close()
        if not isinstance(error, OSError):
            raise
        raise _failure(error, config.address) from None
    return secure


def _failure(error: OSError, address: str) -> AgentError:
    if isinstance(error, TimeoutError):
        return Unreachable("timed out")
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError):
        return Broken("the connection broke")
    why = (error.reason or "failed").replace("_", " ").lower()
    return OtherScheme(
        f"what listens at {address} does not speak TLS, as tls_cert in the config asks "
        f"({'it speaks plain HTTP' if error.reason in _NOT_TLS else why}): start the agent with "
        "tls_cert and tls_key, or leave tls_cert out here"
    )


def _any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _der(certificate: Path) -> bytes:
    try:
        found = _CERTIFICATE.search(certificate.read_text("ascii", "replace"))
        if found is None:
            raise BadCertificate(f"tls_cert {certificate} holds no certificate in PEM form")
        return ssl.PEM_cert_to_DER_cert(found[0])
    except OSError as error:
        raise BadCertificate(f"can't read tls_cert {certificate}: {error.strerror}") from None
    except ValueError:
        raise BadCertificate(f"tls_cert {certificate} holds a damaged certificate") from None


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
