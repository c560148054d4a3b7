"""Passes committed records on to those who follow them live.

It never waits for a follower: each has a bounded buffer, and gets the number of records it missed.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from store.records import QueueId, Record

BUFFER = 1_000
MOST_FOLLOWERS = 50
IDLE_SECONDS = 5.0


def wake(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    """Have `call` called in `loop`, from any thread; nothing happens once the loop is closed.

    While the agent stops, its actors still finish their work: they must not fail because the loop
    is gone.
    """
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        if not loop.is_closed():
            raise


class Transition(msgspec.Struct, frozen=True):
    """A record that was committed for a queue."""

    queue: QueueId
    record: Record


class Missed(msgspec.Struct, frozen=True):
    """So many transitions were not kept for a follower that was too slow."""

    count: int


class Idle(msgspec.Struct, frozen=True):
    """Nothing has happened for `IDLE_SECONDS`."""


class TooManyFollowers(Exception):
    """`MOST_FOLLOWERS` are there already."""


class TailClient:
    """One of those who follow. Made and used in the event loop; called in the writer's thread."""

    def __init__(self, wants: Callable[[QueueId], bool]) -> None:
        self._wants = wants
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._buffer: deque[Transition] = deque()
        self._missed = 0
        self._news = asyncio.Event()
        self._woken = False
        self._ended = False

    def note(self, queue: QueueId, record: Record) -> None:
        """Keep a committed record, if it is of a queue that is followed."""
        if not self._wants(queue):
            return
        with self._lock:
            if len(self._buffer) >= BUFFER or self._missed:
                # Once something is missing nothing is kept until the follower has read how much,
                # so that it learns where the gap is.
                self._missed += 1
            else:
                self._buffer.append(Transition(queue, record))
        if not self._woken:
            self._woken = True
            wake(self._loop, self._news.set)

    def end(self) -> None:
        """Let `transitions` come to its end."""
        self._ended = True
        self._news.set()

    async def transitions(self) -> AsyncIterator[Transition | Missed | Idle]:
        """What is committed from now on, until `end`."""
        while not self._ended:
            # First the flag: what arrives from here on wakes the loop once more.
            self._woken = False
            self._news.clear()
            while self._buffer:
                yield self._buffer.popleft()
            with self._lock:
                missed, self._missed = self._missed, 0
            if missed:
                yield Missed(missed)
                continue
            if not await self._news_within(IDLE_SECONDS):
                yield Idle()

    async def _news_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            return False
        return True


class Followers:
    """All who follow at the moment. Called in the journal writer's thread for each append.

    The tuple is replaced, never changed, so that the writer needs no lock while it goes through it.
    """

    def __init__(self) -> None:
        self._followers: tuple[TailClient, ...] = ()
        self._ended = False

    def __call__(self, queue: QueueId, records: Sequence[Record]) -> None:
        for follower in self._followers:
            for record in records:
                follower.note(queue, record)

    def join(self, wants: Callable[[QueueId], bool]) -> TailClient:
        """A new follower of the queues that `wants` names. Raises `TooManyFollowers`."""
        if len(self._followers) >= MOST_FOLLOWERS:
            raise TooManyFollowers
        follower = TailClient(wants)
        self._followers += (follower,)
        if self._ended:
            follower.end()
        return follower

    def leave(self, follower: TailClient) -> None:
        """It follows no more; harmless when repeated."""
        self._followers = tuple(known for known in self._followers if known is not follower)

    def end_all(self) -> None:
        """The agent stops: end all followers and refuse new ones."""
        self._ended = True
        for follower in self._followers:
            follower.end()
