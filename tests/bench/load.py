"""Events for an agent: from N connections that are always busy, or in one batch.

The connections are kept busy by a process of its own (`python -m bench.load ADDRESS CONNECTIONS
KEYS SECONDS`), which shares no interpreter lock with what it measures, and prints its report.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from collections import deque

import msgspec
import uvloop

from bench.agent import SECRET, TESTS, Agent, BenchError


class Report(msgspec.Struct):
    """What came of it, `began` and `ended` in seconds of the monotonic clock."""

    began: float
    ended: float
    accepted: int
    p99_ms: float
    failures: int
    first_failure: str = ""

    @property
    def per_second(self) -> float:
        """Events accepted."""
        return self.accepted / (self.ended - self.began)


def event(key: int) -> bytes:
    """A typical trigger for the key with this number, as JSON."""
    return json.dumps(
        {
            "routing_key": f"{key:032d}",
            "event_action": "trigger",
            "payload": {
                "summary": "disk usage on /var is 97%",
                "source": "web-17.example.com",
                "severity": "critical",
                "custom_details": {"free": "1.2 GB", "used": "97%", "check": "disk", "runs": 17},
            },
        }
    ).encode()


def headers(kind: str) -> dict[str, str]:
    """Of a request with the secret that carries events of this kind."""
    return {
        "Authorization": f"token {SECRET}",
        "Content-Type": "application/json",
        "Pd-Event-Version": kind,
    }


def _post(path: str, body: bytes, fields: dict[str, str]) -> bytes:
    fields = {"Host": "localhost", "Content-Length": f"{len(body)}", **fields}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def load(agent: Agent, connections: int, keys: int, seconds: float) -> Report:
    """Post `/send` over all `keys` in turn, from `connections`, for `seconds`."""
    command = [sys.executable, "-m", "bench.load", agent.address]
    command += [str(connections), str(keys), str(seconds)]
    done = subprocess.run(command, cwd=TESTS, check=True, capture_output=True)
    report = msgspec.json.decode(done.stdout, type=Report)
    if report.failures or not report.accepted:
        raise BenchError(f"{report.failures} posts failed: {report.first_failure}")
    return report


def batch(agent: Agent, count: int, keys: int) -> tuple[float, float]:
    """Send `count` events over `keys` keys in one request; when it began and ended (monotonic)."""
    body = b"\n".join(event(number % keys) for number in range(count)) + b"\n"
    fields = {"Content-Type": "application/x-ndjson", "Connection": "close"}
    request = _post("/send/batch", body, headers("v2") | fields)
    host, _, port = agent.address.rpartition(":")
    with socket.create_connection((host, int(port))) as connection:
        began = time.monotonic()
        sender = threading.Thread(target=connection.sendall, args=(request,))
        sender.start()
        answer = bytearray()
        while piece := connection.recv(1 << 18):
            answer += piece
        ended = time.monotonic()
        sender.join()
    lines = [line for line in answer.splitlines() if line.startswith(b"{")]
    refused = [line for line in lines if b'"key"' not in line]
    if refused or len(lines) != count:
        raise BenchError(f"{len(lines)} of {count} lines answered, refused: {refused[:1]!r}")
    return began, ended


class _Connection(asyncio.Protocol):
    """Sends the next request as soon as the answer to the last one is there."""

    def __init__(self, requests: deque[bytes], latencies: list[float], failures: list[bytes]):
        self._requests = requests
        self._latencies = latencies
        self._failures = failures
        self._sent_at = 0.0
        self._answer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
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


async def _run(address: str, connections: int, keys: int, seconds: float) -> None:
    host, _, port = address.rpartition(":")
    requests = deque(_post("/send", event(key), headers("v2")) for key in range(keys))
    latencies: list[float] = []
    failures: list[bytes] = []
    loop = asyncio.get_running_loop()
    began = time.monotonic()
    for _ in range(connections):
        await loop.create_connection(
            lambda: _Connection(requests, latencies, failures), host, int(port)
        )
    await asyncio.sleep(seconds)
    ended = time.monotonic()
    latencies.sort()
    report = Report(
        began=began,
        ended=ended,
        accepted=len(latencies),
        p99_ms=1000 * latencies[len(latencies) * 99 // 100] if latencies else 0.0,
        failures=len(failures),
        first_failure=failures[0].decode("latin-1")[-200:] if failures else "",
    )
    print(msgspec.json.encode(report).decode())


if __name__ == "__main__":
    uvloop.run(_run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
