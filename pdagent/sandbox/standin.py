"""The stand-in itself: what it answers to an event, and what it remembers of it.

Nothing here knows HTTP servers; time comes in as an argument, in seconds since the epoch.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import msgspec

from pdagent.sandbox import answers
from pdagent.sandbox.alerts import AlertBook
from pdagent.sandbox.answers import Answer
from pdagent.sandbox.behaviour import Behaviour, BehaviourError, Dice, changed
from pdagent.sandbox.received import Heartbeat, Received, ReceivedLog, RequestHead
from pdagent.sandbox.traffic import RateLimiter, Traffic
from pdagent.sandbox.validation import MAX_BODY_BYTES, Checked, Kind, check, is_routing_key


class Outcome(msgspec.Struct, frozen=True):
    """What to do with one request: the answer, and whether to hang up instead of sending it."""

    answer: Answer
    received: Received | None = None
    drop: bool = False


class Caller(Protocol):
    """Who waits for an answer. `news` is set when it is gone or has a reason to look again."""

    news: asyncio.Event

    @property
    def stands(self) -> bool:
        """Whether it is still there."""


class StandIn:
    """PagerDuty's side of all conversations.

    `watcher` is called with every event once its request has ended, answered or not. `keep`
    limits events and alerts that are remembered (0: all).
    """

    def __init__(
        self,
        behaviour: Behaviour,
        *,
        keep: int = 0,
        seed: int | None = None,
        watcher: Callable[[Received], None] = lambda received: None,
    ) -> None:
        self.behaviour = behaviour
        self.log = ReceivedLog(keep)
        self.alerts = AlertBook(keep)
        self.traffic = Traffic()
        self._initial = behaviour
        self._keep = keep
        self._seed = seed
        self._dice = Dice(seed)
        self._limiter = RateLimiter()
        self._watcher = watcher
        self._held: set[Caller] = set()

    def change(self, changes: Mapping[str, Any]) -> None:
        """Change the behaviour; answers that are being held back look at it again.

        `changes` maps settings (and "seed") to JSON values. Raises BehaviourError and changes
        nothing if one of them is no good.
        """
        settings = {name: value for name, value in changes.items() if name != "seed"}
        seed = changes.get("seed")
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
            raise BehaviourError([("seed", "must be a whole number")])
        self._behave(changed(self.behaviour, settings))
        if "seed" in changes:
            self._seed = seed
            self._dice = Dice(seed)

    def reset(self) -> None:
        """Forget all that was received and behave as at the start."""
        self.log.restart()
        self.alerts = AlertBook(self._keep)
        self.traffic.restart()
        self._limiter.forget()
        self._dice = Dice(self._seed)
        self._behave(self._initial)

    def receive(
        self,
        kind: Kind,
        head: RequestHead,
        raw: bytes | None,
        now: float,
        header_key: str | None = None,
    ) -> Outcome:
        """Take in one event and decide on its answer; `raw` is None for a body over the limit.

        `header_key` is the header `X-Routing-Key`.
        """
        if raw is None:
            too_large = f"The body is larger than {MAX_BODY_BYTES} bytes"
            checked = Checked(is_json=False, errors=(too_large,))
        else:
            checked = check(kind, raw, header_key)
        received = Received(
            n=self.log.next_number(),
            era=self.log.era,
            at=now,
            kind=kind,
            head=head,
            checked=checked,
            raw=raw or b"",
            dedup_key=checked.dedup_key,
        )
        self.log.add(received)
        if is_routing_key(checked.routing_key):
            self.traffic.key(checked.routing_key).enter()
        return self._decide(received, too_large=raw is None)

    def heartbeat(
        self,
        method: Literal["GET", "POST"],
        name: str,
        *,
        user_agent: str | None,
        raw: bytes,
        now: float,
    ) -> Outcome:
        """Take in an agent's heartbeat; a POST must bring a JSON object."""
        body: msgspec.Raw | None = None
        errors: list[str] = []
        if method == "POST":
            try:
                msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
                body = msgspec.Raw(raw)
            except (msgspec.DecodeError, UnicodeDecodeError):
                errors = ["The body is not a JSON object"]
        self.log.add_heartbeat(
            Heartbeat(at=now, method=method, name=name, user_agent=user_agent, body=body)
        )
        failure = self._failure()
        if failure is not None:
            return Outcome(answers.failed(failure, retry_after=self.behaviour.retry_after))
        if errors:
            return Outcome(answers.invalid(errors))
        return Outcome(answers.heartbeat(self.behaviour.heartbeat_interval))

    async def hold_back(self, routing_key: str, caller: Caller) -> None:
        """Wait before an answer for as long as the behaviour says.

        Ends early if the behaviour changes, or when `caller` is gone: a caller that gave up and
        tries again is not two callers at once.
        """
        latency = self.behaviour.latency
        delay = self._dice.latency(self.behaviour)
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
        """The request of `received` is over: `status` was sent, or None if nothing was."""
        received.status = status
        if status is not None:
            received.answered_at = now
        if is_routing_key(received.checked.routing_key):
            self.traffic.key(received.checked.routing_key).leave()
        self.log.finish(received)
        self._watcher(received)

    def totals(self) -> dict[str, Any]:
        """All counts, as `/sandbox/stats` shows them."""
        return {**self.log.totals(), "alerts": self.alerts.totals(), **self.traffic.as_json()}

    def _decide(self, received: Received, *, too_large: bool) -> Outcome:
        kind, checked, behaviour = received.kind, received.checked, self.behaviour
        failure = self._failure()
        if failure is not None:
            answer = answers.failed(failure, retry_after=behaviour.retry_after, v1=kind == "v1")
        elif too_large:
            answer = answers.invalid(checked.errors, answers.TOO_LARGE)
        elif not self._within_rate(checked.routing_key, received.at):
            answer = answers.rate_limited(kind, behaviour.retry_after)
        elif checked.errors:
            answer = answers.invalid(checked.errors)
        else:
            self._take_effect(received)
            answer = answers.accepted(kind, received.dedup_key)
            return Outcome(answer, received, drop=self._dice.drops(behaviour))
        return Outcome(answer, received)

    def _failure(self) -> int | None:
        if self.behaviour.fail is not None:
            return self.behaviour.fail
        return self.behaviour.fail_code if self._dice.fails(self.behaviour) else None

    def _within_rate(self, routing_key: str, now: float) -> bool:
        behaviour = self.behaviour
        if behaviour.rate_limit is None or not is_routing_key(routing_key):
            return True
        return self._limiter.allows(
            routing_key, limit=behaviour.rate_limit, window=behaviour.rate_window, now=now
        )

    def _take_effect(self, received: Received) -> None:
        checked = received.checked
        if received.kind == "change":
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
        self.log.count_effect(received)

    def _behave(self, behaviour: Behaviour) -> None:
        if behaviour.rate_limit is None:
            self._limiter.forget()
        self.behaviour = behaviour
        for caller in self._held:
            caller.news.set()
