"""A soak: a real agent under constant load, whose PagerDuty throttles and flaps all the time.

    make soak            (or: cd tests; python -m bench.soak [SECONDS], 10 minutes by default)

300 events/s over 500 keys. PagerDuty takes 120 calls of a key in any 60 s and repeats 75 s of
trouble: calm, rate limits for all keys, a port that closes and opens, 503, lost answers. Then it
behaves. The agent must drain: each key's events in order, none lost, in memory that stays flat.
Prints one line per 30 s and a verdict; the exit status is 1 on a miss.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

import uvloop

from bench.agent import ROOT, SECRET, Agent, free_port, running

PER_SECOND = 300
KEYS = 500
CONNECTIONS = 50
DRAIN_SECONDS = 180
LINE_SECONDS = 30
LIMIT, WINDOW = 120, 60.0
CYCLE = 75.0  # seconds of trouble that repeat: twice in each quarter of 10 minutes
MEMORY_GROWTH = 1.1
MEMORY_SLACK_MB = 10.0
JUDGED_AFTER = 4 * CYCLE  # seconds: a quarter of less is no whole cycle


class PagerDuty:
    """Answers events and checks their order. `taken` is the last number of each key."""

    def __init__(self, port: int) -> None:
        self.taken = [0] * KEYS
        self.faults: list[str] = []
        self.statuses: dict[str, int] = {}
        self.repeated = 0
        self.begun: float | None = None
        self._port = port
        self._calls: list[deque[float]] = [deque() for _ in range(KEYS)]
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    def trouble(self) -> str:
        """What is wrong just now."""
        second = (time.monotonic() - self.begun) % CYCLE if self.begun is not None else 0.0
        if 15 <= second < 25:
            return "429"
        if 40 <= second < 46:
            return "up" if second % 2 < 1 else "down"
        if 46 <= second < 49:
            return "503"
        return "lost answers" if second >= 55 else "none"

    async def run(self) -> None:
        """Open and close the port as the trouble wants it, until cancelled."""
        while True:
            down = self.trouble() == "down"
            if down and self._server is not None:
                self._server.close()
                self._server = None
                for writer in self._connections:
                    writer.transport.abort()
            elif not down and self._server is None:
                self._server = await asyncio.start_server(
                    self._serve, "127.0.0.1", self._port, reuse_address=True
                )
            await asyncio.sleep(0.05)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                event = json.loads(await reader.readexactly(length))
                await asyncio.sleep(random.uniform(0.005, 0.03))
                status = self._judge(event)
                self.statuses[status] = self.statuses.get(status, 0) + 1
                if status == "202, answer lost":
                    break
                body = b'{"status":"success","message":"Event processed","dedup_key":"d"}'
                if status != "202":
                    body = b'{"status":"error","message":"not now","errors":[]}'
                writer.write(
                    b"HTTP/1.1 %s X\r\nContent-Length: %d\r\n" % (status.encode(), len(body))
                )
                writer.write(b"Content-Type: application/json\r\n\r\n" + body)
        except (OSError, RuntimeError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the connection was cut, by the agent or by going down
        finally:
            self._connections.discard(writer)
            writer.close()

    def _judge(self, event: dict[str, object]) -> str:
        key, trouble, now = int(str(event["routing_key"])), self.trouble(), time.monotonic()
        if trouble in ("429", "503"):
            return trouble
        calls = self._calls[key]
        while calls and calls[0] <= now - WINDOW:
            calls.popleft()
        if len(calls) >= LIMIT:
            return "429"
        calls.append(now)
        number, last = event["payload"]["custom_details"]["number"], self.taken[key]  # type: ignore[index]
        if number == last:
            self.repeated += 1  # at least once: the answer before was lost
        elif number != last + 1:
            self.faults.append(f"key {key}: {number} came after {last}")
        self.taken[key] = max(last, number)
        return "202, answer lost" if trouble == "lost answers" and random.random() < 0.02 else "202"


class Load:
    """Sends to an agent over connections that have keys of their own, so that order is known."""

    def __init__(self, address: str) -> None:
        self.accepted = [0] * KEYS
        self.slowest = 0.0
        self.refused = 0
        self._host, _, port = address.rpartition(":")
        self._port = int(port)

    async def run(self, connection: int, seconds: float) -> None:
        """Send a share of the events until `seconds` are over; what is refused is sent again."""
        reader, writer = await asyncio.open_connection(self._host, self._port)
        started = time.monotonic()
        due = started + connection / PER_SECOND
        keys = deque(range(connection, KEYS, CONNECTIONS))
        while due < started + seconds:
            await asyncio.sleep(due - time.monotonic())
            key = keys[0]
            writer.write(_request(key, self.accepted[key] + 1))
            asked = time.monotonic()
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            self.slowest = max(self.slowest, time.monotonic() - asked)
            due += CONNECTIONS / PER_SECOND
            if head.startswith(b"HTTP/1.1 2"):
                self.accepted[key] += 1
                keys.rotate(-1)
            else:
                self.refused += 1
        writer.close()


def _request(key: int, number: int) -> bytes:
    event = {
        "routing_key": f"{key:032d}",
        "event_action": "trigger",
        "dedup_key": f"disk-{number % 7}",
        "payload": {
            "summary": "disk usage on /var is 97%",
            "source": "web-17.example.com",
            "severity": "critical",
            "custom_details": {"number": number},
        },
    }
    body = json.dumps(event).encode()
    return (
        f"POST /send HTTP/1.1\r\nHost: localhost\r\nAuthorization: token {SECRET}\r\n"
        f"Pd-Event-Version: v2\r\nIdempotency-Key: {key}-{number}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def watch(agent: Agent, pagerduty: PagerDuty, load: Load, samples: list[float]) -> None:
    """One line per 30 s, one sample of the memory per second, until cancelled."""
    started = time.monotonic()
    while True:
        resident, anonymous = (size / (1 << 20) for size in agent.memory())
        samples.append(anonymous)
        if len(samples) % LINE_SECONDS == 0:
            accepted, taken = sum(load.accepted), sum(pagerduty.taken)
            print(
                f"{time.monotonic() - started:4.0f} s: accepted {accepted}, delivered {taken}, "
                f"waiting {accepted - taken}, slowest answer {1000 * load.slowest:.0f} ms, "
                f"memory {resident:.0f} MB, without the journal's pages {anonymous:.0f} MB; "
                f"PagerDuty: {pagerduty.statuses}",
                flush=True,
            )
            load.slowest = 0.0
        await asyncio.sleep(1.0)


async def soak(seconds: float, agent: Agent, port: int) -> list[str]:
    """Load, drain, and say what was missed."""
    pagerduty, load = PagerDuty(port), Load(agent.address)
    samples: list[float] = []
    tasks = [asyncio.create_task(pagerduty.run())]
    pagerduty.begun = time.monotonic()
    tasks.append(asyncio.create_task(watch(agent, pagerduty, load, samples)))
    await asyncio.gather(*(load.run(number, seconds) for number in range(CONNECTIONS)))
    pagerduty.begun, under_load, ended = None, len(samples), time.monotonic()
    while pagerduty.taken != load.accepted and time.monotonic() < ended + DRAIN_SECONDS:
        await asyncio.sleep(0.1)
    drained = time.monotonic() - ended
    for task in tasks:
        task.cancel()
    accepted, taken = sum(load.accepted), sum(pagerduty.taken)
    quarter = under_load // 4
    before, after = max(samples[quarter : 2 * quarter]), max(samples[3 * quarter : under_load])
    print(
        f"accepted {accepted} ({accepted / seconds:.0f}/s), delivered {taken}, drained in "
        f"{drained:.1f} s, repeated {pagerduty.repeated}, refused by the agent {load.refused}; "
        f"memory without the journal's pages at most {before:.1f} MB in the second quarter, "
        f"{after:.1f} MB in the last"
    )
    missed = pagerduty.faults[:10]
    if accepted < 0.95 * PER_SECOND * seconds:
        missed.append(f"only {accepted / seconds:.0f} events/s were accepted")
    if taken != accepted:
        missed.append(f"{accepted - taken} events were not delivered within {DRAIN_SECONDS} s")
    if seconds >= JUDGED_AFTER and after > MEMORY_GROWTH * before + MEMORY_SLACK_MB:
        missed.append("the memory grew")
    return missed


def main(seconds: float) -> int:
    """Run the soak; 0 if nothing was missed."""
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".bench-") as name:
        directory, port = Path(name) / "agent", free_port()
        settings: dict[str, object] = {
            "retention": "60s",
            "log_level": "error",
            "max_in_flight": 64,
        }
        with running(directory, f"http://127.0.0.1:{port}", settings=settings) as agent:
            missed = uvloop.run(soak(seconds, agent, port))
    print("ok" if not missed else "MISSED: " + "; ".join(missed))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 600.0))
