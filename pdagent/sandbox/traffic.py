"""What goes through the stand-in: connections, requests at once, calls per key and minute."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any

import msgspec


class Gauge(msgspec.Struct):
    """How many there are now, at once at most, and in all."""

    current: int = 0
    max: int = 0
    total: int = 0

    def enter(self) -> None:
        """One more."""
        self.current += 1
        self.total += 1
        self.max = max(self.max, self.current)

    def leave(self) -> None:
        """One fewer."""
        self.current -= 1

    def restart(self) -> None:
        """Count from here on; those that are there now stay counted."""
        self.max = self.total = self.current


class SandboxTraffic:
    """Counts of connections, and of requests with an event that have no answer yet.

    A connection over TLS counts once its handshake is done. `connections_cut` are those that the
    stand-in closed on purpose: by going down, or by dropping an answer.
    """

    def __init__(self) -> None:
        self.connections = Gauge()
        self.connections_cut = 0
        self.requests = Gauge()
        self.keys: defaultdict[str, Gauge] = defaultdict(Gauge)

    def restart(self) -> None:
        """Count from here on; connections and requests that are open stay counted."""
        self.connections_cut = 0
        for key in [key for key, gauge in self.keys.items() if not gauge.current]:
            del self.keys[key]
        for gauge in (self.connections, self.requests, *self.keys.values()):
            gauge.restart()

    def as_json(self) -> dict[str, Any]:
        """`{"connections", "requests", "per_key": {routing key: ...}}`."""
        connections = msgspec.structs.asdict(self.connections)
        return {
            "connections": {**connections, "cut": self.connections_cut},
            "requests": self.requests,
            "per_key": self.keys,
        }


class RateLimiter:
    """Calls per key in a sliding window; a refused call doesn't count."""

    def __init__(self) -> None:
        self._calls: defaultdict[str, deque[float]] = defaultdict(deque)

    def allows(self, routing_key: str, *, limit: int, window: float, now: float) -> bool:
        """Count a call at `now` if there were fewer than `limit` in the `window` seconds before."""
        calls = self._calls[routing_key]
        while calls and calls[0] <= now - window:
            calls.popleft()
        if len(calls) >= limit:
            return False
        calls.append(now)
        return True
