"""What the monitoring ports of the engine's nodes say; clients with usual rights can't ask them."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

_PORT = 8222
_SECONDS = 2.0


class NodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One node of the engine: `url` is its monitoring port's, `name` as in `CopyFacts.node`.

    `problem` says why there was no answer; then the rest is empty. `sync_always` is whether it
    answers for a message only after an fsync. `cluster_size` counts the nodes, this one included,
    as it knows them (0: it is alone).
    """

    url: str
    problem: str = ""
    name: str = ""
    version: tuple[int, ...] = ()
    jetstream: bool = False
    sync_always: bool = False
    cluster_size: int = 0


class _JetStreamConfig(msgspec.Struct, frozen=True):
    sync_always: bool = False


class _Meta(msgspec.Struct, frozen=True):
    cluster_size: int = 0


class _JetStream(msgspec.Struct, frozen=True):
    config: _JetStreamConfig | None = None
    meta: _Meta = _Meta()


class _Varz(msgspec.Struct, frozen=True):
    server_name: str
    version: str
    jetstream: _JetStream = _JetStream()


def monitoring_urls(urls: Sequence[str]) -> list[str]:
    """Where the monitoring ports are, if nobody has changed that: port 8222 of the same hosts."""
    hosts = (urlsplit(url).hostname or "" for url in urls)
    return [f"http://{f'[{host}]' if ':' in host else host}:{_PORT}" for host in hosts]


def ask_nodes(monitoring: Sequence[str], ca: Path | None = None) -> list[NodeFacts]:
    """What each node says, within about two seconds; `ca` is for https."""
    context = ssl.create_default_context(cafile=ca)
    # No proxy: the nodes are neighbours.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )

    def ask(url: str) -> NodeFacts:
        try:
            with opener.open(f"{url.rstrip('/')}/varz", timeout=_SECONDS) as answer:
                varz = msgspec.json.decode(answer.read(), type=_Varz)
        except urllib.error.HTTPError as error:
            return NodeFacts(url=url, problem=f"HTTP {error.code}")
        except urllib.error.URLError as error:
            return NodeFacts(url=url, problem=str(getattr(error.reason, "strerror", error.reason)))
        except OSError as error:
            return NodeFacts(url=url, problem=error.strerror or str(error) or "no answer")
        except (ValueError, msgspec.DecodeError):
            return NodeFacts(url=url, problem="this is no monitoring port of nats-server")
        config = varz.jetstream.config
        return NodeFacts(
            url=url,
            name=varz.server_name,
            version=_version(varz.version),
            jetstream=config is not None,
            sync_always=config is not None and config.sync_always,
            cluster_size=varz.jetstream.meta.cluster_size,
        )

    with ThreadPoolExecutor(max_workers=len(monitoring) or 1) as threads:
        return list(threads.map(ask, monitoring))


def _version(text: str) -> tuple[int, ...]:
    """`2.14.0-RC.1` as (2, 14, 0), to be compared."""
    numbers = text.partition("-")[0].split(".")
    return tuple(int(number) for number in numbers if number.isdecimal())
