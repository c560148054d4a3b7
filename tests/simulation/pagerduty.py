"""PagerDuty and the network before it, with all that they do to a request.

What becomes of a request is drawn when it is made. Requests are on their way independently of the
agent: one whose agent crashed may still take effect.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate

import msgspec

from actors.core.verdict import Deferred, Delivered, Verdict
from actors.ports import OutgoingEvent
from pdagent.eventsapi.verdict import verdict_of_answer
from tests.simulation.runtime import Runtime

Answer = Callable[[Verdict], None]

# Each at least once; 403 is a rate limit for v1 events and final for others. PagerDuty says so in
# its own JSON.
FINAL = (400, 401, 403, 404, 405, 409, 410, 413, 414, 415, 422, 431)
TROUBLE = (500, 501, 502, 503, 504, 507, 520, 599)
STRANGE = (300, 301, 302, 304, 307, 308, 600, 999)
RETRY_AFTER = {None: 0.0, "0": 0.0, "1": 1.0, "7": 7.0, "40": 40.0, "soon": 0.0, "a date": 19.0}
_REFUSAL = b'{"status":"invalid event","message":"Event object is invalid","errors":[]}'
_SUCCESS = b'{"status":"success","message":"Event processed"}'
_PAGE = b"<html><head><title>Sign in</title></head></html>"
# What others answer in PagerDuty's place. None of it takes or refuses an event.
ODD = (
    *((status, body) for status in (200, 202) for body in (_PAGE, _REFUSAL) for _ in range(8)),
    *((status, b"") for status in (200, 201, 204)),
    *(
        (status, body)
        for status in (400, 401, 403, 404, 407, 408, 410, 413, 421, 425, 451, 499)
        for body in (b"", _PAGE, b"[]", b'{"error":"blocked"}')
    ),
)
FAILURES = ((503, b""), (200, _PAGE), (202, _PAGE), (403, _PAGE))
_CONNECT_TIMEOUT = 3.0
_READ_TIMEOUT = 30.0


class Request(msgspec.Struct, kw_only=True, eq=False):
    """One attempt as PagerDuty sees it; times in the clock's seconds.

    `attempt` is the number that the agent gave it. `took_effect` says whether PagerDuty acts (or
    will act) on the event because of it, `refused` whether PagerDuty itself refuses it; `verdict`
    is what the agent was given, None if it never got an answer. `wish` is the `Retry-After` of the
    answer in seconds.
    """

    number: int
    key: str
    event: str
    attempt: int
    started: float
    process: int
    took_effect: bool = False
    refused: bool = False
    wish: float = 0.0
    retries: int = 0
    ended: float | None = None
    verdict: Verdict | None = None


class Weather(msgspec.Struct, kw_only=True):
    """How likely each kind of trouble is, per request; `poison` per event: always 500."""

    final: float = 0.0
    rate_limit: float = 0.0
    trouble: float = 0.0
    strange: float = 0.0
    odd: float = 0.0
    poison: float = 0.0
    timeout: float = 0.0
    reset: float = 0.0
    unreachable: float = 0.0
    hang: float = 0.0
    late_write: float = 0.0


class SimulatedPort:
    """One connection of the agent: a `DeliveryPort` that answers later."""

    def __init__(self, pagerduty: SimulatedPagerDuty) -> None:
        self._pagerduty = pagerduty
        self._process = pagerduty.process
        self._open: tuple[Request, Answer] | None = None
        self._closed = False

    def begin(self, event: OutgoingEvent, attempt: int, answer: Answer) -> None:
        """Make a request; `answer` is called once, unless the agent is gone by then."""
        delay = self._pagerduty.delay_before_write()
        if delay:
            self._pagerduty.runtime.after(delay, lambda: self._write(event, attempt, answer))
        else:
            self._write(event, attempt, answer)

    def _write(self, event: OutgoingEvent, attempt: int, answer: Answer) -> None:
        if self._process != self._pagerduty.process:
            return
        if self._closed:
            answer(Deferred(reason="no_answer", detail="closed"))
            return
        request, seconds, verdict = self._pagerduty.receive(event, attempt)
        self._open = (request, answer)
        self._pagerduty.runtime.after(seconds, lambda: self._end(request, verdict))

    def deliver(self, event: OutgoingEvent) -> Verdict:
        """Of a real port; nobody can wait here."""
        raise NotImplementedError

    def close(self) -> None:
        """For good: a request that is under way ends without an answer, none is written later."""
        self._closed = True
        if self._open is not None:
            self._end(self._open[0], Deferred(reason="no_answer", detail="closed"))

    def _end(self, request: Request, verdict: Verdict) -> None:
        if self._open is not None and self._open[0] is request:
            answer, self._open = self._open[1], None
            if self._pagerduty.end(request, verdict):
                answer(verdict)


class SimulatedPagerDuty:
    """Draws what becomes of each request and keeps a list of them.

    `expect` is called with each request at its start, to check it against what the journal says.
    During an `outage` nothing reaches it, with a `failure` all requests get that answer. `accepted`
    are the requests that the agent knows to be, in the order in which it came to know.
    """

    def __init__(
        self,
        runtime: Runtime,
        chance: random.Random,
        weather: Weather,
        expect: Callable[[Request], None],
    ) -> None:
        self.runtime = runtime
        self.weather = weather
        self.requests: list[Request] = []
        self.under_way: list[Request] = []
        self.process = 0
        self.outage = False
        self.failure: tuple[int, bytes] | None = None
        self.of_event: dict[str, list[Request]] = {}
        self.accepted: list[Request] = []
        self.kinds: Counter[str] = Counter()
        self._chance = chance
        self._expect = expect
        self._poisonous: dict[str, bool] = {}

    def make_port(self) -> SimulatedPort:
        """A connection for one sender."""
        return SimulatedPort(self)

    def forget_agent(self) -> None:
        """The agent's process ended: nobody waits for an answer any more."""
        self.process += 1
        for request in self.under_way:
            request.ended = self.runtime.clock.now
        self.under_way.clear()

    def delay_before_write(self) -> float:
        """Seconds for which a sender hangs before it writes its request: in DNS, for example."""
        if not self.weather.late_write or self._chance.random() >= self.weather.late_write:
            return 0.0
        self.kinds["late_write"] += 1
        return 100 + self._chance.random() * 200

    def receive(self, event: OutgoingEvent, attempt: int) -> tuple[Request, float, Verdict]:
        """A request comes in: what becomes of it, after how many seconds, and what is answered."""
        request = Request(
            number=len(self.requests),
            key=event.routing_key,
            event=event.event_id,
            attempt=attempt,
            started=self.runtime.clock.now,
            process=self.process,
        )
        self.runtime.note(lambda: f"PagerDuty: request {request.number}: {request.event}")
        self._expect(request)
        self.requests.append(request)
        self.of_event.setdefault(request.event, []).append(request)
        self.under_way.append(request)
        seconds, verdict = self._fate(request, event)
        return request, seconds, verdict

    def end(self, request: Request, verdict: Verdict) -> bool:
        """The request is over for the agent; False if that agent is gone."""
        if request not in self.under_way:
            return False
        self.under_way.remove(request)
        request.ended = self.runtime.clock.now
        request.verdict = verdict
        if isinstance(verdict, Delivered):
            self.accepted.append(request)
        self.runtime.note(lambda: f"PagerDuty: request {request.number}: {verdict}")
        return True

    def _fate(self, request: Request, event: OutgoingEvent) -> tuple[float, Verdict]:
        chance, weather = self._chance, self.weather
        if self.outage:
            refused = chance.random() < 0.5
            self.kinds["outage"] += 1
            return (0.01 if refused else _CONNECT_TIMEOUT), _unreachable("outage")
        kind = self._draw_kind(weather)
        latency = 0.02 + chance.random() * 0.5
        # The answer may be lost after the event took effect, or the event before it did.
        lost_after = chance.random() < 0.5
        if self.failure is not None:
            self.kinds["failure"] += 1
            return latency, self._answer(request, event, *self.failure)
        poisonous = self._poisonous.setdefault(event.event_id, chance.random() < weather.poison)
        if poisonous and weather.poison:
            kind, lost_after = "poison", False
        self.kinds[kind] += 1
        match kind:
            case "unreachable":
                return chance.random() * _CONNECT_TIMEOUT, _unreachable("connection refused")
            case "hang":
                request.took_effect = lost_after
                return 100 + chance.random() * 200, Deferred(reason="no_answer", detail="hang")
            case "timeout":
                request.took_effect = lost_after
                return _READ_TIMEOUT, Deferred(reason="no_answer", detail="timeout")
            case "reset":
                request.took_effect = lost_after
                return latency, Deferred(reason="no_answer", detail="reset")
            case "final":
                status = chance.choice(FINAL)
                request.refused = status != (403 if event.kind == "v1" else 429)
                return latency, self._answer(request, event, status, _REFUSAL)
            case "trouble" | "poison":
                request.took_effect = lost_after
                status = 500 if kind == "poison" else chance.choice(TROUBLE)
                return latency, self._answer(request, event, status)
            case "strange":
                return latency, self._answer(request, event, chance.choice(STRANGE))
            case "odd":
                return latency, self._answer(request, event, *chance.choice(ODD))
            case "rate_limit":
                return latency, self._answer(request, event, 403 if event.kind == "v1" else 429)
        request.took_effect = True
        status = 200 if event.kind == "v1" else 202
        return latency, self._answer(request, event, status, _SUCCESS)

    def _draw_kind(self, weather: Weather) -> str:
        draw = self._chance.random()
        for kind in weather.__struct_fields__:
            draw -= 0.0 if kind == "poison" else getattr(weather, kind)
            if draw < 0:
                return kind
        return "fine"

    def _answer(
        self, request: Request, event: OutgoingEvent, status: int, body: bytes = b""
    ) -> Verdict:
        """By the program's own table."""
        chance = self._chance
        asks = status in (429, 403) or (status >= 500 and chance.random() < 0.2)
        header = chance.choice(list(RETRY_AFTER)) if asks else None
        request.wish = RETRY_AFTER[header]
        wall = self.runtime.clock.wall
        if header == "a date":
            header = formatdate(wall + 20, usegmt=True)
        verdict = verdict_of_answer(event.kind, status, header, body, wall, 0.1)
        self.kinds[f"{status}"] += 1
        return verdict


def effective(request: Request) -> bool:
    """Whether PagerDuty acted on the event and said so."""
    return request.took_effect and isinstance(request.verdict, Delivered)


def _unreachable(detail: str) -> Deferred:
    return Deferred(reason="unreachable", detail=detail)
