"""The agent as HTTP handlers see it: the actor system, awaitable."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import msgspec

from actors.core.accepting import OWN_NAME
from actors.core.commands import Answer, Command, NewEvent, Receipt, Refusal
from actors.system import ActorSystem
from pdagent import occurrence
from pdagent.config import Config
from pdagent.events import AgentStamp, ParsedEvent, complete, resolve_of
from pdagent.events.ids import new_event_id, repeatable_event_id
from pdagent.httpapi.jobs import Reported, reported
from pdagent.metrics.measuring import IntakeMeasurements
from pdagent.operating.followers import Followers, wake
from pdagent.operating.traffic import Traffic
from store.port import Journal
from store.records import EventId, RoutingKey

ANSWER_WITHIN = 20.0

NO_ANSWER = Refusal(
    reason="unconfirmed",
    message=f"the agent could not confirm this within {ANSWER_WITHIN:.0f} s",
    retry_after=5,
)

_NO_TIME = (
    "Pd-Occurred-At: ignored, as it is neither a number of seconds since 1970 nor a time such as "
    "2026-08-01T10:00:00Z, from 2001 on"
)

_encode_sorted = msgspec.json.Encoder(order="sorted").encode


class Agent(msgspec.Struct, kw_only=True, eq=False):
    """What the handlers share."""

    system: ActorSystem
    journal: Journal
    config: Config
    version: str
    started_at: float
    replies: Replies
    followers: Followers
    traffic: Traffic
    intake: IntakeMeasurements = msgspec.field(default_factory=IntakeMeasurements)
    metrics: Callable[[], bytes] | None = None
    """Prometheus's text; called in a thread of its own."""
    test_notifications: Callable[[], Awaitable[dict[str, str | None]]] | None = None
    """Uses each channel of `notify` once; by channel, why it failed, None if it did not."""
    warnings: Callable[[], list[str]] = list
    """What needs attention while the agent works, one sentence each."""


Ask = Callable[[Callable[[Answer], None]], None]
"""Sends an actor a message; its argument is the function to call with the answer."""


class Replies:
    """Carries questions to the actors' threads, and their answers into the event loop.

    Waking another thread costs a system call and the interpreter lock. So the questions of one
    turn of the loop go out together, and the answers of one commit come back together.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready: deque[tuple[Callable[[Answer], None], Answer]] = deque()
        self._woken = False
        self._asked: list[tuple[Ask, asyncio.Future[Answer], Callable[[Answer], None]]] = []

    async def ask(self, send: Ask) -> Answer:
        """Call `send` with a reply function, soon, and wait for what it is called with."""
        future: asyncio.Future[Answer] = self._loop.create_future()

        def settle(answer: Answer) -> None:
            if not future.done():
                future.set_result(answer)

        if not self._asked:
            self._loop.call_soon(self._send)
        self._asked.append((send, future, settle))
        expiry = self._loop.call_later(ANSWER_WITHIN, settle, NO_ANSWER)
        try:
            return await future
        finally:
            expiry.cancel()

    def _send(self) -> None:
        asked, self._asked = self._asked, []
        for send, future, settle in asked:
            try:
                send(self.to(settle))
            except Exception as error:  # noqa: BLE001 - it is raised where it was asked
                if not future.done():
                    future.set_exception(error)

    def to(self, take: Callable[[Answer], None]) -> Callable[[Answer], None]:
        """A function for any thread that has `take` called with its argument in the event loop."""

        def reply(answer: Answer) -> None:
            self._ready.append((take, answer))
            if not self._woken:
                self._woken = True
                wake(self._loop, self._deliver)

        return reply

    def _deliver(self) -> None:
        # First the flag: an answer that arrives from here on wakes the loop once more.
        self._woken = False
        while self._ready:
            take, answer = self._ready.popleft()
            take(answer)


class Sender(NamedTuple):
    """Who sent an event: the `program`, and its user id if the event came by socket or spool."""

    program: str
    uid: int | None = None

    def __str__(self) -> str:
        return self.program if self.uid is None else f"{self.program} (uid {self.uid})"


def completed(
    agent: Agent,
    event: ParsedEvent,
    *,
    sender: Sender,
    idempotency_key: str | None,
    occurred: str | None = None,
    passed: tuple[str, ...] = (),
    job: Mapping[str, str] | None = None,
) -> tuple[RoutingKey, NewEvent]:
    """A checked event with its id and all that the agent adds, ready to be accepted.

    `occurred` is its time of occurrence as its sender wrote it. One in the future counts as now.
    `job` are the parameters that make it the report of a job.
    """
    if idempotency_key is None:
        event_id = EventId(new_event_id())
    else:
        event_id = EventId(repeatable_event_id(event.routing_key, idempotency_key))
    now = time.time()
    occurred_at, warnings = _occurrence(occurred, now)
    stamp = AgentStamp(agent_id=agent.journal.agent_id, queued_by=sender.program)
    whole = complete(
        event, event_id=event_id, accepted_at=now, occurred_at=occurred_at, agent=stamp
    )
    report = Reported()
    if job:
        own = AgentStamp(agent_id=agent.journal.agent_id, queued_by=OWN_NAME)
        report = reported(whole, job, at=now if occurred_at is None else occurred_at, stamp=own)
    closes = occurred_at is not None and whole.action == "trigger"
    new = NewEvent(
        id=event_id,
        kind=whole.kind,
        action=whole.action,
        dedup_key=whole.dedup_key,
        body=whole.body,
        warnings=whole.warnings + warnings + report.warnings,
        source=str(sender),
        idempotent=idempotency_key is not None,
        fingerprint=b"" if idempotency_key is None else _fingerprint(event),
        occurred_at=occurred_at,
        job=report.job,
        only_if_open=report.only_if_open,
        closing=_closing(agent, whole, now) if closes else None,
        passed=passed,
    )
    return RoutingKey(whole.routing_key), new


def _occurrence(text: str | None, now: float) -> tuple[float | None, tuple[str, ...]]:
    seconds = None if text is None else occurrence.read(text)
    if seconds is not None:
        return min(seconds, now), ()
    return None, () if text is None else (_NO_TIME,)


def _closing(agent: Agent, trigger: ParsedEvent, now: float) -> NewEvent:
    """The resolve of a trigger's alert: an event of its own, which no request repeats."""
    event_id = EventId(new_event_id())
    stamp = AgentStamp(agent_id=agent.journal.agent_id, queued_by=OWN_NAME)
    whole = complete(resolve_of(trigger), event_id=event_id, accepted_at=now, agent=stamp)
    return NewEvent(
        id=event_id,
        kind=whole.kind,
        action=whole.action,
        dedup_key=whole.dedup_key,
        body=whole.body,
        source=OWN_NAME,
    )


def _fingerprint(event: ParsedEvent) -> bytes:
    """A digest of the event as sent; the order of members does not matter (Perl's varies)."""
    body = event.body
    with contextlib.suppress(msgspec.MsgspecError):  # JSON that Python has no values for: 1e400
        body = _encode_sorted(msgspec.json.decode(body))
    return hashlib.blake2b(event.kind.encode() + body, digest_size=16).digest()


async def accept(
    agent: Agent,
    event: ParsedEvent,
    *,
    sender: Sender,
    idempotency_key: str | None,
    occurred: str | None = None,
    passed: tuple[str, ...] = (),
    job: Mapping[str, str] | None = None,
) -> Receipt | Refusal:
    """Complete a checked event and have it stored; the receipt means that it is on disk."""
    key, new = completed(
        agent,
        event,
        sender=sender,
        idempotency_key=idempotency_key,
        occurred=occurred,
        passed=passed,
        job=job,
    )
    began = time.perf_counter()
    answer = await agent.replies.ask(lambda reply: agent.system.accept(key, new, reply))
    assert isinstance(answer, Receipt | Refusal)
    agent.intake.note(answer, time.perf_counter() - began)
    return answer


async def perform(agent: Agent, key: RoutingKey, command: Command) -> Answer:
    """Have a queue carry out an operator's command."""
    return await agent.replies.ask(lambda reply: agent.system.perform(key, command, reply))
