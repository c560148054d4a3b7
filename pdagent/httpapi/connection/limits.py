"""The limits of the HTTP listener."""

from __future__ import annotations

import contextlib
import resource

import msgspec

_FILES_FOR_THE_REST = 200
_FILES_WANTED = 8_192


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds, sizes in bytes.

    `head_seconds` is from the connection, or a request's first byte, to the end of its headers.
    `body_seconds` is for the rest of a request; of a streamed body only pauses are limited, by
    `pause_seconds`. `idle_seconds` is from an answer to the next request. `stall_seconds` is how
    long a client may leave an answer unread.
    `linger_seconds` and `linger_bytes` are what is still read, and thrown away, of a request that
    was answered before it was complete: closing at once would take the answer away from a client
    that still sends. `warning` says so where the process may open too few files for these limits.
    """

    connections: int = 1_000
    warning: str | None = None
    head_bytes: int = 32_768
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    pause_seconds: float = 300.0
    idle_seconds: float = 75.0
    stall_seconds: float = 60.0
    linger_seconds: float = 5.0
    linger_bytes: int = 64 << 20
    pipelined: int = 32


RELAY_CONNECTIONS = 16_000
"""Of a relay: each host keeps a connection or two open. A new one for each report would be a TLS
handshake for each, which costs a relay more than everything else about the report."""


def limits_of_this_process(max_in_flight: int, *, connections: int = 1_000) -> Limits:
    """The limits, with no more connections than the process may have files open.

    The journal, deliveries and logs need descriptors too; clients must not be able to use up all.
    """
    rest = _FILES_FOR_THE_REST + max_in_flight
    needed = connections + rest
    best = max(_FILES_WANTED, needed)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < best:
        wanted = best if hard == resource.RLIM_INFINITY else min(hard, best)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return Limits(connections=connections)
    connections = max(1, soft - rest)
    return Limits(
        connections=connections,
        warning=f"this process may open {soft} files and needs {needed}: it accepts {connections} "
        "connections at once; raise the limit on open files (ulimit -n, LimitNOFILE= of systemd)",
    )
