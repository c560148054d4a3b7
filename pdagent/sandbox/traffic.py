"""What goes through the stand-in: connections, requests at once, calls per key and minute."""

from __future__ import annotations

from collections import deque
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
        if self.current > self.max:
            self.max = self.current

    def leave(self) -> None:
        """One fewer."""
        self.current -= 1

    def restart(self) -> None:
        """Count from here on; those that are there now stay counted."""
        self.max = self.total = self.current


class Traffic:
    """Counts of the PagerDuty side only: requests to /sandbox/ are no traffic.

    A connection over TLS counts once its handshake is done. `connections_cut` are those that the
    stand-in closed on purpose: by going down, or by dropping an answer.
    """

    def __init__(self) -> None:
        self.connections = Gauge()
        self.connections_cut = 0
        self.requests = Gauge()
        self._keys: dict[str, Gauge] = {}

    def key(self, routing_key: str) -> Gauge:
        """The requests of one routing key."""
        gauge = self._keys.get(routing_key)
        if gauge is None:
            gauge = self._keys[routing_key] = Gauge()
        return gauge

    def restart(self) -> None:
        """Count from here on, without losing sight of what is open now."""
        self.connections.restart()
        self.connections_cut = 0
        self.requests.restart()
        self._keys = {key: gauge for key, gauge in self._keys.items() if gauge.current}
        for gauge in self._keys.values():
            gauge.restart()

    def as_json(self) -> dict[str, Any]:
        """`{"connections", "requests", "per_key": {routing key: ...}}`."""
        return {
            "connections": {
                **msgspec.structs.asdict(self.connections),
                "cut": self.connections_cut,
            },
            "requests": self.requests,
            "per_key": self._keys,
        }


class RateLimiter:
    """Calls per key in a sliding window; a refused call doesn't count."""

    def __init__(self) -> None:
        self._calls: dict[str, deque[float]] = {}

    def allows(self, routing_key: str, *, limit: int, window: float, now: float) -> bool:
        """Count a call at `now` if there were fewer than `limit` in the `window` seconds before."""
        calls = self._calls.setdefault(routing_key, deque())
        while calls and calls[0] <= now - window:
            calls.popleft()
        if len(calls) >= limit:
            return False
        calls.append(now)
        return True

    def forget(self) -> None:
        """Start every window anew."""
        self._calls.clear()
