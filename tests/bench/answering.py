"""The cheapest PagerDuty there can be: it answers 202 over TLS keep-alive after a fixed latency.

As a process of its own (`python -m bench.answering PORT CERTIFICATE KEY SECONDS`) it reads a number
from each line of standard input, and prints the times of its answers from that number on as JSON.
The sandbox checks what it gets; here only the agent's own cost matters.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httptools
import uvloop

from bench import agent

_BODY = b'{"status":"success","message":"Event processed","dedup_key":"x"}'
_ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)


class PagerDuty:
    """The process, seen from the bench. `answered` are the times of its answers (monotonic)."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.answered: list[float] = []
        self._process = process

    def look(self) -> int:
        """Bring `answered` up to date; how many there are."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(b"%d\n" % len(self.answered))
        self._process.stdin.flush()
        self.answered += json.loads(self._process.stdout.readline())
        return len(self.answered)


@contextlib.contextmanager
def answering(port: int, place: Path, latency: float = 0.0) -> Iterator[PagerDuty]:
    """A PagerDuty on `port` that answers after `latency` seconds; `place` has its certificate."""
    command = [sys.executable, "-m", "bench.answering", str(port)]
    command += [str(place / agent.CERTIFICATE), str(place / agent.KEY), str(latency)]
    with subprocess.Popen(
        command, cwd=agent.TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        pagerduty = PagerDuty(process)
        try:
            pagerduty.look()
            yield pagerduty
        finally:
            process.terminate()


class _Connection(asyncio.Protocol):
    """One connection of the agent."""

    answered: list[float] = []  # noqa: RUF012 - of all connections
    latency = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._parser = httptools.HttpRequestParser(self)
        self._loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Called by the parser at the end of each request."""
        if self.latency:
            self._loop.call_later(self.latency, self._answer)
        else:
            self._answer()

    def _answer(self) -> None:
        self.answered.append(time.monotonic())
        self._transport.write(_ACCEPTED)


def _report() -> None:
    line = sys.stdin.readline()
    if not line:
        sys.exit()
    print(json.dumps(_Connection.answered[int(line) :]), flush=True)


async def _serve(port: int, certificate: str, key: str, latency: float) -> None:
    """Answer until the process is ended."""
    _Connection.latency = latency
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", port, ssl=context, backlog=1024)
    loop.add_reader(sys.stdin, _report)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])))
