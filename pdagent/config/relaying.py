"""The rules of the settings with which agents are hosts of relays, or relays themselves."""

from __future__ import annotations

import ssl
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pdagent.config import StartRefused
from pdagent.config.listener import Listener

if TYPE_CHECKING:
    from pathlib import Path

    from pdagent.config import Config


def check_relaying(config: Config) -> None:
    """Refuse settings of relays that don't fit together. Raises `StartRefused` with one line."""
    if config.relays and config.engine_urls:
        raise StartRefused(
            "relays and engine are both set: a relay has 'engine', a host that uses relays 'relays'"
        )
    if config.relays:
        _check_host(config)
    elif config.acknowledge == "relay":
        raise StartRefused("acknowledge is 'relay' and no relay is set: set 'relays'")
    if config.engine_urls:
        _check_engine(config)
    if config.accept_secrets and config.spool is not None:
        raise StartRefused(
            "accept_secrets and spool are both set: events come out of the spool without a "
            "secret; remove spool"
        )


def _check_host(config: Config) -> None:
    if not config.relay_secret:
        raise StartRefused(
            "relays are set and no relay_secret: set 'relay_secret' to one of the relays' "
            "accept_secrets, or 'relay_secret_file'"
        )
    for url in config.relays:
        parts = urlsplit(url)
        if parts.scheme == "http" and not Listener(f"{parts.hostname}:80").is_local:
            raise StartRefused(
                f"relays: {url} would get the relay_secret and the events unencrypted: use "
                "https://, http:// is for relays on this host"
            )
    _check_certificates("relay_ca", config.relay_ca)


def _check_engine(config: Config) -> None:
    if not config.accept_secrets:
        raise StartRefused(
            "engine is set and no accept_secrets: set 'accept_secrets' to the secrets with which "
            "hosts may send events"
        )
    if find_spec("nats") is None:
        raise StartRefused(
            "engine is set and the module nats is not installed: pip install 'pdagent[relay]'"
        )
    _check_certificates("engine.ca", config.engine_ca)


def _check_certificates(name: str, file: Path | None) -> None:
    if file is None:
        return
    try:
        ssl.create_default_context(cafile=str(file))
    except OSError as error:  # ssl's own are among them
        why = "no certificates in PEM format" if isinstance(error, ssl.SSLError) else error.strerror
        raise StartRefused(
            f"{name}: {file}: {why}: name a file of certificates in PEM format"
        ) from None
