"""Keeps N connections busy with posts to an agent and prints what came of it as JSON.

    python tests/bench/load.py ADDRESS SECRET CONNECTIONS KEYS SECONDS

Runs as a process of its own, so that it shares no interpreter lock with what it measures.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque

import uvloop


def request(secret: str, key: int) -> bytes:
    """One `POST /send` of a typical trigger for the key with this number."""
    event = {
        "routing_key": f"{key:032d}",
        "event_action": "trigger",
        "payload": {
            "summary": "disk usage on /var is 97%",
            "source": "web-17.example.com",
            "severity": "critical",
            "custom_details": {"free": "1.2 GB", "used": "97%", "check": "disk", "runs": 17},
        },
    }
    body = json.dumps(event).encode()
    return (
        f"POST /send HTTP/1.1\r\nHost: localhost\r\nAuthorization: token {secret}\r\n"
        f"Pd-Event-Version: v2\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class Connection(asyncio.Protocol):
    """Sends the next request as soon as the answer to the last one is there."""

    def __init__(self, requests: deque[bytes], latencies: list[float], failures: list[bytes]):
        self._requests = requests
        self._latencies = latencies
        self._failures = failures
        self._sent_at = 0.0
        self._answer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport  # type: ignore[assignment]
        self._send()

    def data_received(self, data: bytes) -> None:
        """Headers and body may come apart; an answer is a JSON object, which ends with a brace."""
        self._answer += data
        if not self._answer.endswith(b"}"):
            return
        if self._answer.startswith(b"HTTP/1.1 200"):
            self._latencies.append(time.perf_counter() - self._sent_at)
        else:
            self._failures.append(self._answer)
        self._answer = b""
        self._send()

    def _send(self) -> None:
        assert self._transport is not None
        self._sent_at = time.perf_counter()
        self._transport.write(self._requests[0])
        self._requests.rotate(-1)


async def run(address: str, secret: str, connections: int, keys: int, seconds: float) -> None:
    """Load the agent for `seconds` and print rate and latencies."""
    host, _, port = address.rpartition(":")
    requests = deque(request(secret, key) for key in range(keys))
    latencies: list[float] = []
    failures: list[bytes] = []
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(
            lambda: Connection(requests, latencies, failures), host, int(port)
        )
    await asyncio.sleep(seconds)
    latencies.sort()
    report = {
        "per_second": round(len(latencies) / seconds, 1),
        "median_ms": round(1000 * latencies[len(latencies) // 2], 2) if latencies else None,
        "p99_ms": round(1000 * latencies[len(latencies) * 99 // 100], 2) if latencies else None,
        "failures": len(failures),
        "first_failure": failures[0].decode("latin-1")[-200:] if failures else None,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    uvloop.run(
        run(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
    )
