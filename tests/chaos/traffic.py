"""The load on all hosts, and the stand-in for PagerDuty that notes each call."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import uvloop

from tests.agent_process import AgentProcess

LATENCY = (0.005, 0.04)
SLOW_LATENCY = 1.0
SLOW_SHARE = 0.02
"""So that a fault always finds deliveries under way."""

_ANSWER_SECONDS = 30.0
_RETRY_SECONDS = 0.5

Name = tuple[int, int]
"""An event: its host, and its number among those of the host."""


class Call(NamedTuple):
    """A call that the stand-in got, at a time of the monotonic clock."""

    at: float
    key: str
    name: Name
    status: int


class Silence(NamedTuple):
    """A key had events that waited, and none arrived."""

    key: str
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long."""
        return self.end - self.begin


class Limit(NamedTuple):
    """The stand-in takes so many calls of a key in any `window` seconds."""

    calls: int
    window: float


class KeyTraffic:
    """What is known of a key: its waiting events, and when the last call came."""

    def __init__(self) -> None:
        self.waiting: dict[Name, float] = {}
        self.early: set[Name] = set()
        self.last = 0.0
        self.recent: deque[float] = deque()

    def acknowledged(self, name: Name, now: float) -> None:
        """A host has the event."""
        if name in self.early:
            self.early.discard(name)
        else:
            self.waiting[name] = now

    def arrived(self, name: Name, now: float, *, taken: bool) -> float | None:
        """When the silence began that a call ends; None if nothing waited."""
        begin = self.silent_since()
        self.last = now
        if taken and self.waiting.pop(name, None) is None:
            self.early.add(name)
        return begin

    def silent_since(self) -> float | None:
        """Since when events wait and no call has come; None if none waits."""
        oldest = next(iter(self.waiting.values()), None)
        return None if oldest is None else max(oldest, self.last)


class Traffic:
    """The load and the stand-in, in a thread of their own, as a context manager.

    Each host gets `rate` events per second, for `keys` by chance. `acknowledged` are the events of
    each host for which it has answered 2xx, in order; what it refuses is sent again.
    """

    def __init__(
        self, keys: Sequence[str], *, rate: float, seed: int, limit: Limit | None = None
    ) -> None:
        self.keys = {key: KeyTraffic() for key in keys}
        self.acknowledged: list[list[tuple[str, int]]] = []
        self.calls: list[Call] = []
        self.silences: list[Silence] = []
        self.rate = rate
        self.sending = True
        self.refused = 0
        self.url = ""
        self._limit = limit
        self._seed = seed
        self._chance = random.Random(seed)
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="traffic", daemon=True)
        self._senders: list[asyncio.Future[None]] = []

    def __enter__(self) -> Traffic:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        async def end() -> None:
            for sender in self._senders:
                sender.cancel()
            await asyncio.gather(*self._senders, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def send_to(self, hosts: Sequence[AgentProcess]) -> None:
        """Begin with the load."""
        self.acknowledged = [[] for _ in hosts]

        def begin() -> None:
            for number, host in enumerate(hosts):
                self._senders.append(self._loop.create_task(self._send(number, host)))

        self._loop.call_soon_threadsafe(begin)

    def end_sending(self) -> None:
        """Let each sender get its last answer."""
        self.sending = False

        async def ended() -> None:
            await asyncio.gather(*self._senders)

        asyncio.run_coroutine_threadsafe(ended(), self._loop).result(2 * _ANSWER_SECONDS)

    def waiting(self) -> int:
        """How many acknowledged events have not arrived."""
        return sum(len(key.waiting) for key in list(self.keys.values()))

    def flows(self, since: float, within: float) -> bool:
        """Whether each key had a call after `since`, and no event waits longer than `within`."""
        now = time.monotonic()
        for key in self.keys.values():
            oldest = next(iter(list(key.waiting.values())[:1]), now)
            if key.last < since or now - oldest > within:
                return False
        return True

    def longest_silence(self, since: float = 0.0) -> Silence:
        """The longest one that ended after `since`, or lasts."""
        now = time.monotonic()
        found = [silence for silence in list(self.silences) if silence.end > since]
        for name, key in self.keys.items():
            begin = key.silent_since()
            if begin is not None:
                found.append(Silence(name, begin, now))
        return max(found, key=lambda silence: silence.seconds, default=Silence("", now, now))

    async def _listen(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                status = self._note(json.loads(await _message(reader)))
                slow = self._chance.random() < SLOW_SHARE
                await asyncio.sleep(SLOW_LATENCY if slow else self._chance.uniform(*LATENCY))
                body = b'{"status":"success","message":"Event processed","dedup_key":"d"}'
                if status == 429:
                    body = b'{"status":"throttle exceeded","message":"too many","errors":[]}'
                head = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                writer.write(head % (status, len(body)) + b"\r\n" + body)
        writer.close()

    def _note(self, event: dict[str, object]) -> int:
        key = str(event["routing_key"])
        details = event["payload"]["custom_details"]  # type: ignore[index]
        name = (details["host"], details["number"])
        of_key, now = self.keys[key], time.monotonic()
        status = 202 if self._within_limit(of_key, now) else 429
        begin = of_key.arrived(name, now, taken=status == 202)
        if begin is not None and now - begin > 1.0:
            self.silences.append(Silence(key, begin, now))
        self.calls.append(Call(now, key, name, status))
        return status

    def _within_limit(self, key: KeyTraffic, now: float) -> bool:
        if self._limit is None:
            return True
        while key.recent and key.recent[0] <= now - self._limit.window:
            key.recent.popleft()
        if len(key.recent) >= self._limit.calls:
            return False
        key.recent.append(now)
        return True

    async def _send(self, number: int, host: AgentProcess) -> None:
        chance = random.Random(self._seed * 1_000 + number)
        keys = list(self.keys)
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        count = 0
        while self.sending:
            await asyncio.sleep(chance.uniform(0.5, 1.5) / self.rate)
            key = chance.choice(keys)
            request = _request(host, key, number, count)
            while True:
                try:
                    if connection is None:
                        address, _, port = host.address.rpartition(":")
                        connection = await asyncio.open_connection(address, int(port))
                    connection[1].write(request)
                    async with asyncio.timeout(_ANSWER_SECONDS):
                        head = await connection[0].readuntil(b"\r\n\r\n")
                        await connection[0].readexactly(_length(head))
                    if head.startswith(b"HTTP/1.1 2"):
                        break
                except (OSError, asyncio.IncompleteReadError, TimeoutError):
                    connection = None
                self.refused += 1
                await asyncio.sleep(_RETRY_SECONDS)
            self.keys[key].acknowledged((number, count), time.monotonic())
            self.acknowledged[number].append((key, count))
            count += 1


async def _message(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(_length(await reader.readuntil(b"\r\n\r\n")))


def _length(head: bytes) -> int:
    return int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])


def _request(host: AgentProcess, key: str, number: int, count: int) -> bytes:
    event = {
        "routing_key": key,
        "event_action": "trigger",
        "dedup_key": f"disk-{count % 7}",
        "payload": {
            "summary": "disk usage on /var is 97%",
            "source": f"web-{number}.example.com",
            "severity": "critical",
            "custom_details": {"host": number, "number": count},
        },
    }
    body = json.dumps(event).encode()
    return (
        f"POST /send HTTP/1.1\r\nHost: {host.address}\r\nAuthorization: token {host.secret}\r\n"
        f"Pd-Event-Version: v2\r\nIdempotency-Key: {number}-{count}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
