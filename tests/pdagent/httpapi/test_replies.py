"""Answers from the actors' threads: they get to who waits, and harm nobody when nobody does."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable

import pytest
import uvloop

from actors.core.commands import Answer, Done
from pdagent.httpapi import replies
from pdagent.httpapi.replies import Replies
from pdagent.operating.followers import Followers
from store.records import EventDelivered, EventId, QueueId

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.mark.parametrize("loop", LOOPS)
def test_an_answer_after_the_end_of_the_event_loop_is_dropped(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    late: list[Callable[[Answer], None]] = []

    async def main() -> Answer:
        asking = Replies(lambda: False)
        asking.submit(late.append, lambda answer: None)
        return await asking.ask(lambda reply: reply(Done()))

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(main()) == Done()
    late[0](Done())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_commit_after_the_end_of_the_event_loop_wakes_no_follower(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    followers = Followers()

    async def main() -> None:
        followers.join(lambda queue: True)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())
    followers(QueueId(1), [EventDelivered(event=EventId("1"), status=202, at=1.0)])


@pytest.mark.parametrize(
    ("is_crowded", "computed", "longest", "least"),
    [(True, 0.005, 60.0, 0.024), (True, 30.0, 0.05, 0.049), (False, 30.0, 60.0, 0.0)],
)
def test_while_deliveries_wait_questions_do_too_for_a_multiple_of_what_the_loop_has_computed(
    monkeypatch: pytest.MonkeyPatch,
    is_crowded: bool,
    computed: float,
    longest: float,
    least: float,
) -> None:
    clock = itertools.count()
    monkeypatch.setattr(time, "thread_time", lambda: next(clock) * computed)
    monkeypatch.setattr(replies, "_LONGEST_PAUSE", longest)

    async def main() -> float:
        asking = Replies(lambda: is_crowded)
        await asking.ask(lambda reply: reply(Done()))
        began = time.monotonic()
        await asking.ask(lambda reply: reply(Done()))
        return time.monotonic() - began

    assert least <= asyncio.run(main()) <= 10
