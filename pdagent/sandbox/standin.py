"""The stand-in itself: what it answers to an event, and what it remembers of it.

Nothing here knows HTTP; time comes in as an argument, in seconds since the epoch.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from pdagent.events import is_routing_key
from pdagent.events.event import MAX_EVENT_BYTES
from pdagent.events.kinds import EventKind
from pdagent.sandbox import answers
from pdagent.sandbox.alerts import AlertBook
from pdagent.sandbox.answers import SandboxAnswer
from pdagent.sandbox.behaviour import Behaviour, changed
from pdagent.sandbox.listener import SandboxConnection
from pdagent.sandbox.received import Checked, HeartbeatCall, Received, ReceivedLog, check
from pdagent.sandbox.traffic import RateLimiter, SandboxTraffic


class StandIn:
    """PagerDuty's side of all conversations.

    `watcher` is called with every event once its request has ended, answered or not. `keep`
    limits events and alerts that are remembered (0: all).
    """

    def __init__(
        self,
        behaviour: Behaviour,
        *,
        keep: int,
        seed: int | None,
        watcher: Callable[[Received], None],
    ) -> None:
        self.traffic = SandboxTraffic()
        self._initial = behaviour
        self._keep = keep
        self._seed = seed
        self._watcher = watcher
        self._held: set[SandboxConnection] = set()
        self.reset()

    def change(self, changes: Mapping[str, Any]) -> None:
        """Change the behaviour; answers that are being held back look at it again.

        `changes` maps settings to JSON values. Raises BehaviourError and changes nothing if one of
        them is no good.
        """
        self._behave(changed(self.behaviour, changes))

    def reset(self) -> None:
        """Forget all that was received and behave as at the start."""
        self.log = ReceivedLog(self._keep)
        self.alerts = AlertBook(self._keep)
        self.traffic.restart()
        self._limiter = RateLimiter()
        self._chance = random.Random(self._seed)
        self._behave(self._initial)

    def receive(
        self,
        kind: EventKind,
        raw: bytes | None,
        *,
        path: str,
        headers: dict[str, str | None],
        header_key: str | None,
        now: float,
    ) -> tuple[Received, SandboxAnswer]:
        """Take in one event and decide on its answer; `raw` is None for a body over the limit.

        `header_key` is the header `X-Routing-Key`.
        """
        if raw is None:
            too_large = f"The body is larger than {MAX_EVENT_BYTES} bytes"
            checked = Checked(is_json=False, errors=(too_large,))
        else:
            checked = check(kind, raw, header_key)
        received = Received(
            n=self.log.next_number(),
            at=now,
            kind=kind,
            path=path,
            headers=headers,
            checked=checked,
            raw=raw or b"",
            dedup_key=checked.dedup_key,
        )
        answer = self._decide(received, too_large=raw is None)
        self.log.add(received)
        if is_routing_key(checked.routing_key):
            self.traffic.keys[checked.routing_key].enter()
        return received, answer

    def heartbeat(self, raw: bytes, *, user_agent: str | None, now: float) -> SandboxAnswer:
        """Take in an agent's heartbeat, which must be a JSON object."""
        body: msgspec.Raw | None = msgspec.Raw(raw)
        try:
            msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeDecodeError):
            body = None
        self.log.add_heartbeat(HeartbeatCall(at=now, user_agent=user_agent, body=body))
        failure = self._failure()
        if failure is not None:
            return answers.failed(failure, retry_after=self.behaviour.retry_after)
        if body is None:
            return answers.invalid(["The body is not a JSON object"])
        return answers.heartbeat(self.behaviour.heartbeat_interval)

    def drops(self, received: Received) -> bool:
        """Whether to hang up instead of answering an event that has taken effect."""
        return received.effect is not None and self._chance.random() < self.behaviour.drop_rate

    async def hold_back(self, routing_key: str, caller: SandboxConnection) -> None:
        """Wait before an answer for as long as the behaviour says.

        Ends early if the behaviour changes, or when `caller` is gone: a caller that gave up and
        tries again is not two callers at once.
        """
        latency = self.behaviour.latency
        delay = self._chance.uniform(*latency)
        if not delay and not self.behaviour.hang_key:
            return
        clock = asyncio.get_running_loop().time
        started = clock()
        self._held.add(caller)
        try:
            while caller.stands:
                wait = delay if self.behaviour.latency == latency else 0.0
                if self.behaviour.hangs(routing_key):
                    wait = max(wait, self.behaviour.hang)
                remaining = started + wait - clock()
                if remaining <= 0:
                    return
                caller.news.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(caller.news.wait(), remaining)
        finally:
            self._held.discard(caller)

    def finish(self, received: Received, status: int | None, now: float) -> None:
        """The request of `received` is over: `status` is sent, or None if nothing is.

        Only the first call counts.
        """
        if not received.pending:
            return
        received.pending = False
        self.traffic.requests.leave()
        received.status = status
        if status is not None:
            received.answered_at = now
        if is_routing_key(received.checked.routing_key):
            self.traffic.keys[received.checked.routing_key].leave()
        self.log.finish(received)
        self._watcher(received)

    def totals(self) -> dict[str, Any]:
        """All counts, as `/sandbox/stats` shows them."""
        return {**self.log.totals(), "alerts": self.alerts.totals(), **self.traffic.as_json()}

    def _decide(self, received: Received, *, too_large: bool) -> SandboxAnswer:
        kind, checked, behaviour = received.kind, received.checked, self.behaviour
        failure = self._failure()
        if failure is not None:
            return answers.failed(failure, retry_after=behaviour.retry_after, v1=kind == "v1")
        if too_large:
            return answers.invalid(checked.errors, 413)
        if not self._within_rate(checked.routing_key, received.at):
            return answers.rate_limited(kind, behaviour.retry_after)
        if checked.errors:
            return answers.invalid(checked.errors)
        if kind == "change":
            received.effect = "noted"
        else:
            # Only a trigger may come without: it always opens an alert of its own.
            received.dedup_key = checked.dedup_key or uuid.uuid4().hex
            received.effect = self.alerts.apply(
                checked.routing_key,
                received.dedup_key,
                checked.action,
                summary=checked.summary,
                at=received.at,
            )
        return answers.accepted(kind, received.dedup_key)

    def _failure(self) -> int | None:
        if self.behaviour.fail is not None:
            return self.behaviour.fail
        return (
            self.behaviour.fail_code if self._chance.random() < self.behaviour.fail_rate else None
        )

    def _within_rate(self, routing_key: str, now: float) -> bool:
        limit = self.behaviour.rate_limit
        if limit is None or not is_routing_key(routing_key):
            return True
        window = self.behaviour.rate_window
        return self._limiter.allows(routing_key, limit=limit, window=window, now=now)

    def _behave(self, behaviour: Behaviour) -> None:
        if behaviour.rate_limit is None:
            self._limiter = RateLimiter()
        self.behaviour = behaviour
        for caller in self._held:
            caller.news.set()
