"""A journal as an agent leaves it behind: made by the real core, without actors and clocks."""

from __future__ import annotations

import random
from pathlib import Path

from actors.core.commands import (
    AcceptEvent,
    Command,
    DiscardEvents,
    FinishDelivery,
    HoldQueue,
    NewEvent,
    Policy,
    Refusal,
    ReleaseQueue,
    ResumeQueue,
    RetryEvents,
    StartDelivery,
)
from actors.core.decide import decide
from actors.core.evolve import evolve
from actors.core.state import QueueState, to_snapshot
from actors.core.verdict import Deferred, Delivered, Rejected, Verdict
from store.lmdb_journal import LmdbJournal
from store.port import Append
from store.records import EventId, QueueId, RoutingKey
from store.retention import sweep

LIMIT = 64 << 20
_VERDICTS: tuple[Verdict, ...] = (
    Delivered(status=202, seconds=0.1),
    Delivered(status=202, seconds=0.1),
    Deferred(reason="server_error", detail="503", seconds=0.2),
    Deferred(reason="rate_limited", detail="429", retry_after=2.0),
    Deferred(reason="unreachable", detail="refused"),
    Rejected(reason="http_400", detail="no such key"),
)


def key_of(queue: int) -> RoutingKey:
    """The routing key of a queue of `live`."""
    return RoutingKey(f"{queue:032d}")


def live(
    directory: Path, *, seed: int = 1, steps: int = 600, queues: int = 3, retention: bool = False
) -> dict[QueueId, QueueState]:
    """Let queues live for some steps in the journal in `directory`; returns their last states.

    With `retention`, old events are removed now and then, as the agent's janitor does.
    """
    chance = random.Random(seed)
    journal = LmdbJournal(directory, limit=LIMIT)
    states = {QueueId(n): QueueState(queue=QueueId(n)) for n in range(1, queues + 1)}
    now = 1_000_000.0
    appends: list[Append] = []
    for step in range(steps):
        now += chance.choice((0.1, 1.0, 30.0))
        state = chance.choice(list(states.values()))
        records = decide(state, _command(state, step, chance), now, Policy(max_attempts=5))
        assert not isinstance(records, Refusal)
        for record in records:
            evolve(state, record)
        snapshot = to_snapshot(state) if chance.random() < 0.03 else None
        appends.append(
            Append(
                queue=state.queue,
                records=records,
                routing_key=key_of(state.queue),
                snapshot=snapshot,
            )
        )
        if step % 10 == 9:
            journal.commit(appends)
            appends.clear()
        if retention and step % 100 == 99:
            for queue in states:
                journal.remove(sweep(journal, queue, now - 60, 50, now=now).entries)
    journal.commit(appends)
    journal.close()
    return states


def _command(state: QueueState, step: int, chance: random.Random) -> Command:
    if state.in_flight is not None and chance.random() < 0.8:
        return FinishDelivery(state.in_flight, chance.choice(_VERDICTS), chance.random())
    if chance.random() < 0.25:
        body = b'{"routing_key":"","n":%d,"fill":"%b"}' % (
            step,
            b"x" * chance.choice((9, 300, 9000)),
        )
        new = NewEvent(
            id=EventId(f"event-{step:05d}"),
            kind="v2",
            action=chance.choice(("trigger", "trigger", "resolve")),
            dedup_key=f"alert-{chance.randrange(20)}",
            body=body,
        )
        return AcceptEvent(new)
    return chance.choice(
        (
            StartDelivery(),
            StartDelivery(),
            StartDelivery(),
            RetryEvents(),
            DiscardEvents(list(state.dead)[:1], "not needed"),
            HoldQueue("maintenance"),
            ReleaseQueue(),
            ReleaseQueue(),
            ResumeQueue("a test"),
        )
    )
