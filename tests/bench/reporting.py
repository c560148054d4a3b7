"""The hosts of a relay: kept-alive connections, each with a report every 30 seconds.

A process of its own (`python -m bench.reporting ADDRESS HOSTS SECONDS`): it connects all hosts, has
each report once, prints a line, and then spreads reports evenly over the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

import uvloop

from bench.agent import TESTS, Agent, BenchError

RELAY_SECRET = "a-secret-that-only-hosts-have-01"
_INTERVAL = 30.0  # seconds between two reports of a host
_AT_ONCE = 200
_START_SECONDS = 60.0


class HostLoad:
    """Reports that go on."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def reports(self) -> int:
        """How many were taken, once the time is over; raises `BenchError` if one was not."""
        output, _ = self._process.communicate(timeout=600)
        taken, failed = json.loads(output)
        if failed or not taken:
            raise BenchError(f"{failed} reports failed, {taken} were taken")
        return int(taken)


@contextlib.contextmanager
def reporting(agent: Agent, hosts: int, seconds: float) -> Iterator[HostLoad]:
    """So many hosts report for `seconds`; on entry each has reported once."""
    command = [sys.executable, "-m", "bench.reporting", agent.address, str(hosts), str(seconds)]
    process = subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise BenchError("not all hosts could report")
        yield HostLoad(process)
    finally:
        process.kill()
        process.wait()


class _Host(asyncio.Protocol):
    """One host's connection."""

    taken = failed = 0

    def __init__(self, number: int) -> None:
        body = json.dumps(
            {
                "agent_id": f"01a2b3c4-0000-7000-8000-{number:012d}",
                "host": f"web{number}.example.com",
                "version": "1.2.3",
                "relay": "https://relay1.example.com:49463",
                "waiting": 3,
                "oldest_waiting_seconds": 1.5,
                "dead_letters": 0,
                "held_queues": 0,
                "link": "reachable",
                "trouble": "",
            }
        ).encode()
        self._request = (
            b"POST /relay/hosts HTTP/1.1\r\nHost: localhost\r\nUser-Agent: pdagent/1.2.3\r\n"
            b"Accept: */*\r\nConnection: keep-alive\r\nContent-Type: application/json\r\n"
            b"Authorization: token %b\r\nContent-Length: %d\r\n\r\n%b"
            % (RELAY_SECRET.encode(), len(body), body)
        )
        self._transport: asyncio.Transport | None = None
        self._answered = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """The body may come apart from the headers."""
        if data.startswith(b"{"):
            return
        if data.startswith(b"HTTP/1.1 200 "):
            _Host.taken += 1
        else:
            _Host.failed += 1
        self._answered.set()

    def connection_lost(self, exc: Exception | None) -> None:
        _Host.failed += 1
        self._answered.set()

    def report(self) -> None:
        """Send one."""
        assert self._transport is not None
        self._answered.clear()
        self._transport.write(self._request)

    async def report_and_wait(self) -> None:
        """Send one, and wait for the answer."""
        self.report()
        await self._answered.wait()


def _same(host: _Host) -> _Host:
    return host


async def _run(address: str, count: int, seconds: float) -> None:
    host, _, port = address.rpartition(":")
    loop, hosts = asyncio.get_running_loop(), []
    async with asyncio.timeout(_START_SECONDS):
        for first in range(0, count, _AT_ONCE):
            new = [_Host(number) for number in range(first, min(count, first + _AT_ONCE))]
            for each in new:
                await loop.create_connection(partial(_same, each), host, int(port))
            await asyncio.gather(*(each.report_and_wait() for each in new))
            hosts += new
    if _Host.failed:
        print("failed", flush=True)
        return
    print("ready", flush=True)
    _Host.taken, began, sent = 0, loop.time(), 0
    while (now := loop.time()) < began + seconds:
        due = int((now - began) * count / _INTERVAL)
        while sent < due:
            hosts[sent % count].report()
            sent += 1
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.5)
    print(json.dumps([_Host.taken, _Host.failed + sent - _Host.taken]))


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(_run(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
