"""TLS on the way to the agent on this host: one certificate is pinned; mix-ups are recognised."""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
from pathlib import Path
from typing import Any

from requests.adapters import HTTPAdapter

from pdagent.localclient.errors import BadCertificate

_PROBE_SECONDS = 2.0
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL")


class PinnedAdapter(HTTPAdapter):
    """Talks to the holder of one certificate only.

    Whoever answers must have that certificate's private key, so its names, dates and issuer add
    nothing: it may have been issued for another name of this host. Raises `BadCertificate`.
    """

    def __init__(self, certificate: Path) -> None:
        self._fingerprint = _fingerprint(certificate)
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """As requests does, with the pin."""
        super().init_poolmanager(*arguments, **options, assert_fingerprint=self._fingerprint)


def _fingerprint(certificate: Path) -> str:
    try:
        found = _CERTIFICATE.search(certificate.read_text("ascii", "replace"))
        if found is None:
            raise BadCertificate(f"tls_cert {certificate} holds no certificate in PEM form")
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(found[0])).hexdigest()
    except OSError as error:
        raise BadCertificate(f"can't read tls_cert {certificate}: {error.strerror}") from None
    except ValueError:
        raise BadCertificate(f"tls_cert {certificate} holds a damaged certificate") from None


def speaks_tls(host: str, port: int) -> bool:
    """Whether a server there answers the first words of TLS."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout=_PROBE_SECONDS) as plain,
            context.wrap_socket(plain),
        ):
            return True
    except (OSError, ValueError):
        return False


def why_not_tls(error: ssl.SSLError) -> str:
    """In a few words, why a handshake failed."""
    if error.reason in _NOT_TLS:
        return "it speaks plain HTTP"
    return (error.reason or "failed").replace("_", " ").lower()
