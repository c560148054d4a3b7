"""The agent as HTTP handlers see it: the actor system, awaitable."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import falcon.asgi
import msgspec

from actors.core.accepting import OWN_NAME
from actors.core.commands import Answer, Command, NewEvent, Receipt, Refusal
from actors.system import ActorSystem
from pdagent import occurrence
from pdagent.config import Config
from pdagent.events import AgentStamp, ParsedEvent, complete, resolve_of
from pdagent.events.ids import new_event_id, repeatable_event_id
from pdagent.httpapi.jobs import Reported, reported
from pdagent.httpapi.replies import Replies
from pdagent.metrics.measuring import IntakeMeasurements
from pdagent.operating.followers import Followers
from pdagent.operating.traffic import Traffic
from store.port import Journal
from store.records import EventId, RoutingKey

if TYPE_CHECKING:
    from pdagent.fleet.desk import FleetDesk
    from pdagent.forwarding.acknowledging import Acknowledgements
    from pdagent.forwarding.choice import RelayChoice
    from pdagent.forwarding.resending import Resender

FalconApp = falcon.asgi.App[falcon.asgi.Request, falcon.asgi.Response]

_NO_TIME = (
    "Pd-Occurred-At: ignored, as it is neither a number of seconds since 1970 nor a time such as "
    "2026-08-01T10:00:00Z, from 2001 on"
)

_NO_REPORT = Reported()

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
    relays: RelayChoice | None = None
    """Set if relays take the events instead of PagerDuty."""
    resender: Resender | None = None
    """Set if there are relays: sends them again what they have lost."""
    acknowledgements: Acknowledgements | None = None
    """Set if senders' answers wait until a relay has the event."""
    metrics: Callable[[], bytes] | None = None
    """Prometheus's text; called in a thread of its own."""
    test_notifications: Callable[[], Awaitable[dict[str, str | None]]] | None = None
    """Uses each channel of `notify` once; by channel, why it failed, None if it did not."""
    fleet: FleetDesk | None = None
    """The hosts that report to this agent, if it is a relay."""
    add_routes: Callable[[FalconApp], None] = lambda app: None
    """Adds the routes of a relay."""
    warnings: Callable[[], list[str]] = list
    """What needs attention while the agent works, one sentence each."""

    @property
    def target(self) -> str:
        """Where events are delivered: PagerDuty's URL, or that of the current relay."""
        if self.relays is None:
            return self.config.events_url
        return f"relay {self.relays.current}"


class EventSender(NamedTuple):
    """Who sent an event: the `program`, and its user id if the event came by socket or spool."""

    program: str
    uid: int | None = None

    def __str__(self) -> str:
        return self.program if self.uid is None else f"{self.program} (uid {self.uid})"


def completed(
    agent: Agent,
    event: ParsedEvent,
    *,
    sender: EventSender,
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
    report = _NO_REPORT
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


def submit(
    agent: Agent, key: RoutingKey, new: NewEvent, done: Callable[[Receipt | Refusal], None]
) -> None:
    """Have a completed event stored; a receipt means that it is on disk.

    With `acknowledge: relay`, that a relay has it. `done` is called once, later, in the event loop.
    """
    began = time.perf_counter()
    if (relays := agent.acknowledgements) is not None:
        expected, final = relays.expect(new.id), done

        def done(answer: Receipt | Refusal) -> None:
            def settled(outcome: Receipt | Refusal) -> None:
                if outcome is not answer:  # its own answer is counted already
                    agent.intake.note(outcome, 0.0)
                final(outcome)

            relays.settle(expected, answer, settled)

    agent.replies.submit(
        partial(agent.system.accept, key, new), lambda answer: done(_measured(agent, answer, began))
    )


async def accept(
    agent: Agent,
    event: ParsedEvent,
    *,
    sender: EventSender,
    idempotency_key: str | None,
    occurred: str | None = None,
    job: Mapping[str, str] | None = None,
) -> Receipt | Refusal:
    """Complete a checked event and have it stored; the receipt means that it is on disk."""
    key, new = completed(
        agent, event, sender=sender, idempotency_key=idempotency_key, occurred=occurred, job=job
    )
    began = time.perf_counter()
    answer = await agent.replies.ask(partial(agent.system.accept, key, new))
    return _measured(agent, answer, began)


def _measured(agent: Agent, answer: Answer, began: float) -> Receipt | Refusal:
    assert isinstance(answer, Receipt | Refusal)
    agent.intake.note(answer, time.perf_counter() - began)
    return answer


async def perform(agent: Agent, key: RoutingKey, command: Command) -> Answer:
    """Have a queue carry out an operator's command."""
    return await agent.replies.ask(partial(agent.system.perform, key, command))
