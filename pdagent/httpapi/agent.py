"""The agent as HTTP handlers see it: the actor system, awaitable."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from actors.core.commands import Answer, Command, NewEvent, Receipt, Refusal
from actors.system import ActorSystem
from pdagent.config import Config
from pdagent.events import AgentStamp, ParsedEvent, complete
from pdagent.events.ids import new_event_id, repeatable_event_id
from store.port import Journal
from store.records import EventId, RoutingKey

ANSWER_WITHIN = 20.0

_NO_ANSWER = Refusal(
    reason="unavailable",
    message=f"the agent could not confirm the event within {ANSWER_WITHIN:.0f} s: send it again",
    retry_after=5,
)


class Agent(msgspec.Struct, kw_only=True, eq=False):
    """What the handlers share."""

    system: ActorSystem
    journal: Journal
    config: Config
    version: str
    started_at: float
    replies: Replies


class Replies:
    """Carries answers from the actors' threads into the event loop.

    Waking the loop costs a system call, so the answers of one commit share one wake-up.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready: deque[tuple[asyncio.Future[Any], Answer]] = deque()
        self._woken = False

    async def ask(self, send: Callable[[Callable[[Answer], None]], None]) -> Answer:
        """Call `send` with a reply function and wait for what it is called with."""
        future: asyncio.Future[Answer] = self._loop.create_future()

        def reply(answer: Answer) -> None:
            self._ready.append((future, answer))
            if not self._woken:
                self._woken = True
                self._loop.call_soon_threadsafe(self._deliver)

        send(reply)
        expiry = self._loop.call_later(ANSWER_WITHIN, _expire, future)
        try:
            return await future
        finally:
            expiry.cancel()

    def _deliver(self) -> None:
        # First the flag: an answer that arrives from here on wakes the loop once more.
        self._woken = False
        while self._ready:
            future, answer = self._ready.popleft()
            if not future.done():
                future.set_result(answer)


def _expire(future: asyncio.Future[Answer]) -> None:
    if not future.done():
        future.set_result(_NO_ANSWER)


async def accept(
    agent: Agent, event: ParsedEvent, *, source: str, idempotency_key: str | None
) -> Receipt | Refusal:
    """Complete a checked event and have it stored; the receipt means that it is on disk."""
    if idempotency_key is None:
        event_id = EventId(new_event_id())
    else:
        event_id = EventId(repeatable_event_id(event.routing_key, idempotency_key))
    stamp = AgentStamp(agent_id=agent.journal.agent_id, queued_by=source)
    completed = complete(event, event_id=event_id, accepted_at=time.time(), agent=stamp)
    new = NewEvent(
        id=event_id,
        kind=completed.kind,
        action=completed.action,
        dedup_key=completed.dedup_key,
        body=completed.body,
        warnings=completed.warnings,
        source=source,
        idempotent=idempotency_key is not None,
    )
    key = RoutingKey(completed.routing_key)
    answer = await agent.replies.ask(lambda reply: agent.system.accept(key, new, reply))
    assert isinstance(answer, Receipt | Refusal)
    return answer


async def perform(agent: Agent, key: RoutingKey, command: Command) -> Answer:
    """Have a queue carry out an operator's command."""
    return await agent.replies.ask(lambda reply: agent.system.perform(key, command, reply))
