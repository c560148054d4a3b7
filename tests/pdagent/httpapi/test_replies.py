"""Answers from the actors' threads: they get to who waits, and harm nobody when nobody does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from actors.core.commands import Answer, Done
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
        replies = Replies()
        replies.submit(late.append, lambda answer: None)
        return await replies.ask(lambda reply: reply(Done()))

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
