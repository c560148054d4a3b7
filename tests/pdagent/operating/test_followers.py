"""Whoever follows live is told everything in order, or how much was missed, and delays nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pdagent.operating import followers
from pdagent.operating.followers import (
    BUFFER,
    MOST_FOLLOWERS,
    Followers,
    Idle,
    Missed,
    TailClient,
    TooManyFollowers,
    Transition,
)
from store.records import EventDelivered, EventId, QueueId, Record

ONE, TWO = QueueId(1), QueueId(2)


def record(number: int) -> Record:
    return EventDelivered(event=EventId(str(number)), status=202, at=1.0)


def run(test: Callable[[Followers], Awaitable[None]]) -> None:
    async def main() -> None:
        await test(Followers())

    asyncio.run(asyncio.wait_for(main(), 20))


async def read(follower: TailClient, count: int) -> list[Transition | Missed | Idle]:
    """The next `count` news."""
    news: list[Transition | Missed | Idle] = []
    async for each in follower.transitions():
        news.append(each)
        if len(news) == count:
            break
    return news


def test_a_follower_is_told_of_its_queues_in_order_from_a_thread() -> None:
    async def test(all_: Followers) -> None:
        follower = all_.join(lambda queue: queue == ONE)

        def write() -> None:
            for number in range(20):
                all_(ONE, [record(number)])
                all_(TWO, [record(number)])

        reading = asyncio.create_task(read(follower, 20))
        await asyncio.to_thread(write)
        assert await reading == [Transition(ONE, record(number)) for number in range(20)]

    run(test)


def test_one_that_reads_too_slowly_learns_where_and_how_much_it_missed() -> None:
    async def test(all_: Followers) -> None:
        slow, quick = all_.join(lambda queue: True), all_.join(lambda queue: queue == TWO)
        for number in range(BUFFER + 7):
            all_(ONE, [record(number)])
        all_(TWO, [record(0)])
        told = await read(slow, BUFFER + 1)
        assert told[:-1] == [Transition(ONE, record(number)) for number in range(BUFFER)]
        assert told[-1] == Missed(8)
        all_(ONE, [record(99)])
        assert await read(slow, 1) == [Transition(ONE, record(99))]
        assert await read(quick, 1) == [Transition(TWO, record(0))]

    run(test)


def test_silence_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followers, "IDLE_SECONDS", 0.01)

    async def test(all_: Followers) -> None:
        follower = all_.join(lambda queue: True)
        assert await read(follower, 2) == [Idle(), Idle()]
        all_(ONE, [record(1)])
        assert await read(follower, 1) == [Transition(ONE, record(1))]

    run(test)


def test_the_end_of_the_agent_ends_all_followers_and_the_late_ones_at_once() -> None:
    async def test(all_: Followers) -> None:
        follower = all_.join(lambda queue: True)
        reading = asyncio.create_task(read(follower, 10))
        await asyncio.sleep(0)
        all_.end_all()
        assert await reading == []
        assert await read(all_.join(lambda queue: True), 1) == []

    run(test)


def test_so_many_may_follow_and_who_leaves_makes_room_and_is_told_nothing() -> None:
    async def test(all_: Followers) -> None:
        joined = [all_.join(lambda queue: True) for _ in range(MOST_FOLLOWERS)]
        with pytest.raises(TooManyFollowers):
            all_.join(lambda queue: True)
        for _ in range(2):
            all_.leave(joined[0])
        all_(ONE, [record(1)])
        new = all_.join(lambda queue: True)
        all_(ONE, [record(2)])
        assert await read(new, 1) == [Transition(ONE, record(2))]
        joined[0].end()
        assert await read(joined[0], 1) == []

    run(test)
