"""Questions to the actors' threads, and their answers in the event loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

import msgspec

from actors.core.commands import Answer, Refusal
from pdagent.operating.followers import wake

logger = logging.getLogger(__name__)

ANSWER_WITHIN = 20.0

_YIELD = 5.0
"""So many times as long as new events have kept a thread busy, the next ones wait."""
_LONGEST_PAUSE = 0.2
"""Seconds; operators' questions may take long, and must not hold up events for longer."""

NO_ANSWER = Refusal(
    reason="unconfirmed",
    message=f"the agent could not confirm this within {ANSWER_WITHIN:.0f} s",
    retry_after=5,
)

_MISTAKE = msgspec.structs.replace(
    NO_ANSWER, message="the agent made a mistake: its log says where"
)

Send = Callable[[Callable[[Answer], None]], None]
"""Sends an actor a message; its argument is the function to call with the answer."""

Take = Callable[[Answer], None]
"""Called in the event loop with an answer."""


class _Question:
    """Called with the answer, from any thread."""

    __slots__ = ("_replies", "due", "send", "take")

    def __init__(self, replies: Replies, send: Send, take: Take, due: float) -> None:
        self._replies = replies
        self.send = send
        self.take = take
        self.due = due

    def __call__(self, answer: Answer) -> None:
        self._replies.arrived(self, answer)


class Replies:
    """Carries questions to the actors' threads, and their answers into the event loop.

    Waking another thread costs a system call and the interpreter lock. So the questions of one
    turn of the loop go out together, and the answers of one commit come back together. One timer
    watches over all of them.

    While deliveries wait for their turn (`is_crowded`), the next questions wait as well. Otherwise
    a flood of new events would keep those that are accepted already from being delivered.
    """

    def __init__(self, is_crowded: Callable[[], bool]) -> None:
        self._loop = asyncio.get_running_loop()
        self._is_crowded = is_crowded
        self._computed = time.thread_time()
        self._send_at = self._loop.time()
        self._arrived: deque[tuple[_Question, Answer]] = deque()
        self._woken = False
        self._asked: list[_Question] = []
        # All without an answer, in the order in which they are due.
        self._open: dict[_Question, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def submit(self, send: Send, take: Take) -> None:
        """Call `send` with a reply function, soon; `take` is called once, in the event loop.

        It gets `NO_ANSWER` after `ANSWER_WITHIN` seconds.
        """
        question = _Question(self, send, take, self._loop.time() + ANSWER_WITHIN)
        self._open[question] = None
        if self._timer is None:
            self._timer = self._loop.call_at(question.due, self._expire)
        if not self._asked:
            self._loop.call_at(self._send_at, self._send)  # soon, if that is over
        self._asked.append(question)

    async def ask(self, send: Send) -> Answer:
        """Call `send` with a reply function, soon, and wait for what it is called with."""
        future: asyncio.Future[Answer] = self._loop.create_future()

        def take(answer: Answer) -> None:
            if not future.done():
                future.set_result(answer)

        self.submit(send, take)
        return await future

    def pause_after(self, computed: float) -> float:
        """For how many seconds new events wait for deliveries, after so many of computing."""
        return min(_YIELD * computed, _LONGEST_PAUSE) if self._is_crowded() else 0.0

    def arrived(self, question: _Question, answer: Answer) -> None:
        """Have `answer` taken in the event loop; called in any thread."""
        self._arrived.append((question, answer))
        if not self._woken:
            self._woken = True
            wake(self._loop, self._deliver)

    def _send(self) -> None:
        asked, self._asked = self._asked, []
        for question in asked:
            try:
                question.send(question)
            except Exception:
                logger.exception("a command could not be handed over")
                self._settle(question, _MISTAKE)
        before, self._computed = self._computed, time.thread_time()
        self._send_at = self._loop.time() + self.pause_after(self._computed - before)

    def _deliver(self) -> None:
        # First the flag: an answer that arrives from here on wakes the loop once more.
        self._woken = False
        while self._arrived:
            self._settle(*self._arrived.popleft())

    def _settle(self, question: _Question, answer: Answer) -> None:
        try:
            del self._open[question]
        except KeyError:
            return  # too late
        try:
            question.take(answer)
        except Exception:
            logger.exception("an answer could not be passed on")

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._open:
            first = next(iter(self._open))
            if first.due > now:
                self._timer = self._loop.call_at(first.due, self._expire)
                return
            self._settle(first, NO_ANSWER)
