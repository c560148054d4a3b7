"""The self-signed certificate that `init --tls` makes for clients that insist on https."""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from pdagent.config import ConfigError

VALID_DAYS = 3650
"""Ten years: nothing renews it, and an expired certificate would lose alerts."""

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_LONGEST_COMMON_NAME = 64
_DNS_NAME = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9_-]+)*"
)
_PEM = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_SUBJECT_ALT_NAME = b"\x06\x03\x55\x1d\x11"
"""The extension's object identifier, 2.5.29.17, as DER has it."""
_BOOLEAN, _DNS = 0x01, 0x82
_SETTINGS = """\
[req]
prompt = no
distinguished_name = subject
[subject]
CN = {common}
[ca]
default_ca = self
[self]
database = {folder}/index
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = any
x509_extensions = extensions
[any]
commonName = supplied
[extensions]
subjectAltName = {alternatives}
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


class Pair(NamedTuple):
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


def is_name(text: str) -> bool:
    """Whether a certificate can be made out to `text`: a host's name or an IP address."""
    return is_address(text) or _DNS_NAME.fullmatch(text) is not None


def names_in(certificate: Path) -> frozenset[str]:
    """The hosts' names, in lower case, that a certificate (PEM) is made out to; none if unreadable.

    Names with a `*` are left out.
    """
    try:
        found = _PEM.search(certificate.read_text("latin-1"))
        names = _dns_names(ssl.PEM_cert_to_DER_cert(found[0])) if found else []
    except (OSError, ValueError, IndexError):
        return frozenset()
    return frozenset(name.lower() for name in names if "*" not in name)


def self_signed(more_names: Sequence[str] = ()) -> Pair:
    """Make a certificate for loopback, this host's name and `more_names`, and its key.

    It can't sign others: a client that trusts it trusts this agent, and no other host.

    Raises:
        ConfigError: The program openssl, which makes it, is missing or failed.
    """
    names = dict.fromkeys([*_LOOPBACK, *filter(is_name, [socket.gethostname()]), *more_names])
    common = next((name for name in more_names if len(name) <= _LONGEST_COMMON_NAME), "localhost")
    alternatives = ",".join(f"{'IP' if is_address(name) else 'DNS'}:{name}" for name in names)
    with tempfile.TemporaryDirectory(prefix="pagerduty-agent-") as folder:
        place = Path(folder)
        text = _SETTINGS.format(folder=folder, common=common, alternatives=alternatives)
        (place / "settings").write_text(text)
        (place / "index").touch()
        settings = ("-config", f"{place}/settings")
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        _openssl(
            "req", "-new", *settings, *curve, "-keyout", f"{place}/key", "-out", f"{place}/csr"
        )
        # Clocks of clients may be behind.
        yesterday = datetime.now(UTC) - timedelta(days=1)
        validity = ("-startdate", f"{yesterday:%Y%m%d%H%M%SZ}", "-days", str(VALID_DAYS))
        signing = ("-selfsign", "-create_serial", "-batch", "-notext", "-keyfile", f"{place}/key")
        _openssl(
            "ca", *settings, *signing, *validity, "-in", f"{place}/csr", "-out", f"{place}/cert"
        )
        certificate, key = ((place / name).read_bytes() for name in ("cert", "key"))
        return Pair(certificate, key)


def _openssl(*arguments: str) -> None:
    try:
        done = subprocess.run(("openssl", *arguments), capture_output=True, text=True, check=False)
    except OSError as error:
        reason = error.strerror
    else:
        if done.returncode == 0:
            return
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    raise ConfigError(
        f"can't run openssl, which makes the certificate ({reason}): install the package openssl, "
        "or set tls_cert and tls_key to a certificate and a key of your own"
    )


def _dns_names(certificate: bytes) -> list[str]:
    """The DNS names among the subject's alternative names of a certificate (DER)."""
    _, at, after = certificate.partition(_SUBJECT_ALT_NAME)
    if not at:
        return []
    if after[0] == _BOOLEAN:  # whether the extension is critical
        after = _element(after)[2]
    alternatives = _element(_element(after)[1])[1]
    names = []
    while alternatives:
        tag, value, alternatives = _element(alternatives)
        if tag == _DNS:
            names.append(value.decode("ascii"))
    return names


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """The tag and the value of the first element of `data` (DER), and what follows it."""
    start, length = 2, data[1]
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start])
    return data[0], data[start : start + length], data[start + length :]


def is_address(text: str) -> bool:
    """Whether `text` is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
