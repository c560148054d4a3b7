"""Operators' calls about many queues or events: they hold nobody up, and do what can be done."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from actors.core import restarts
from actors.core.commands import HoldQueue
from actors.core.state import QueueState
from actors.directory import QueueEntry
from pdagent.agent import app
from pdagent.httpapi.operators.commands import QueueCommands
from pdagent.httpapi.operators.status import Status
from store.lmdb_journal import LmdbJournal
from store.port import Append
from store.records import (
    DeliveryStarted,
    EventAccepted,
    EventDeadLettered,
    EventId,
    EventRetried,
    QueueId,
    Record,
    RoutingKey,
)
from tests.actors.running_actors import KEY, LIMIT, OTHER_KEY, RunningActors, wait_for
from tests.pdagent.httpapi.in_process import agent_around, call, parts, turns_meanwhile

AT = 1.8e9


@pytest.fixture
def actors(tmp_path: Path) -> Iterator[RunningActors]:
    with RunningActors(tmp_path / "journal") as running:
        yield running


def dead_letters(directory: Path, queue: int, key: RoutingKey, count: int) -> list[EventId]:
    """A queue in the journal, in which so many events died."""
    ids = [EventId(f"dead-{queue}-{number:06d}") for number in range(count)]
    records: list[Record] = []
    for position, id_ in enumerate(ids, 1):
        accepted = EventAccepted(
            event=id_,
            position=position,
            kind="v2",
            action="trigger",
            dedup_key=f"alert-{position}",
            body=b'{"routing_key":""}',
            at=AT,
        )
        died = EventDeadLettered(event=id_, reason="http_400", detail="no", at=AT)
        records += [accepted, DeliveryStarted(event=id_, attempt=1, at=AT), died]
    journal = LmdbJournal(directory, limit=LIMIT)
    append = Append(queue=QueueId(queue), records=tuple(records), routing_key=key, snapshot=None)
    journal.commit([append])
    journal.close()
    return ids


@pytest.fixture
def agents_switching() -> Iterator[None]:
    """Threads take turns as often as in the agent."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(app._SWITCH_INTERVAL)
    yield
    sys.setswitchinterval(before)


def test_the_status_of_many_queues_holds_nobody_up(
    actors: RunningActors, agents_switching: None
) -> None:
    for number in range(1, 5_001):
        queue = QueueId(number)
        key = RoutingKey(f"{number:032d}")
        actors.system.directory.add(
            QueueEntry(id=queue, routing_key=key, state=QueueState(queue=queue))
        )

    async def main() -> int:
        handler = Status(*parts(agent_around(actors))).on_get_queues
        status, answer = await call(handler, "GET", "/queue/status")
        assert (status, len(answer["status_items"])) == ("200 OK", 5_000)
        return await turns_meanwhile(call(handler, "GET", "/queue/status"))

    assert asyncio.run(main()) > 5, "on the event loop it would be one or two"


def test_all_that_failed_is_retried_in_portions_between_which_others_have_their_turn(
    tmp_path: Path,
) -> None:
    ids = dead_letters(tmp_path, 1, KEY, 2_500)
    sizes = []

    def note(batch: Sequence[Append]) -> None:
        sizes.extend(
            sum(isinstance(record, EventRetried) for record in each.records) for each in batch
        )

    with RunningActors(tmp_path) as actors:
        actors.perform(HoldQueue("test"))
        actors.journal.before_commit = note

        async def main() -> None:
            commands = QueueCommands(*parts(agent_around(actors)))
            answer = await call(commands.on_post_retry, "POST", "/queue/retry")
            assert answer == (
                "200 OK",
                {
                    "message": "Retrying 2500 events.",
                    "count": 2_500,
                    "events": ids,
                    "refused": [],
                    "left": 0,
                },
            )

        asyncio.run(main())
        assert [size for size in sizes if size] == [1_000, 1_000, 500]
        assert list(actors.entry().state.waiting) == ids


def test_a_queue_that_refuses_keeps_no_other_from_being_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restarts, "LIMIT", 0)  # the first failure leads to quarantine
    stay, go = (
        dead_letters(tmp_path, number, key, 1_001) for number, key in enumerate((KEY, OTHER_KEY), 1)
    )
    with RunningActors(tmp_path) as actors:
        actors.make_sequencer_fail().answer()
        wait_for(lambda: actors.entry().phase == "quarantined", "the quarantine")

        async def main() -> None:
            commands = QueueCommands(*parts(agent_around(actors)))
            status, answer = await call(commands.on_post_retry, "POST", "/queue/retry")
            assert status == "200 OK"
            assert (answer["count"], answer["events"], answer["left"]) == (1_001, go, 1_001)
            assert [each["id"] for each in answer["refused"]] == stay
            assert {each["status"] for each in answer["refused"]} == {503}
            query = f"rk={KEY}"
            status, answer = await call(commands.on_post_retry, "POST", "/queue/retry", query)
            assert status == "503 Service Unavailable"
            assert len(answer["errors"]) == 1

        asyncio.run(main())
