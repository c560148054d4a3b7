"""Asks the agent again and again, in a thread: the keyboard must not wait for the answer."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

import msgspec

from pdagent.dashboard.report import StatusReport


class Question(msgspec.Struct, frozen=True):
    """Which rows: as `GET /status` takes them."""

    sort: str
    match: str
    offset: int
    limit: int


class Answer(msgspec.Struct, frozen=True):
    """`report` answers `question`, or `problem` says in one line why there is none."""

    question: Question
    report: StatusReport | None = None
    problem: str = ""


class Poller:
    """Asks every `interval` seconds, and at once when the question changes.

    `ask` returns an `Answer`, whatever happens. `news` is called in the poller's thread when an
    answer is there to be taken.
    """

    def __init__(
        self,
        ask: Callable[[Question], Answer],
        question: Question,
        interval: float,
        news: Callable[[], None],
    ) -> None:
        self._ask = ask
        self._question = question
        self._interval = interval
        self._news = news
        self._answers: deque[Answer] = deque(maxlen=1)
        self._changed = threading.Event()
        # A daemon: quitting does not wait for an agent that hangs.
        threading.Thread(target=self._run, name="poller", daemon=True).start()

    def want(self, question: Question) -> None:
        """Ask this from now on."""
        if question != self._question:
            self._question = question
            self._changed.set()

    def take(self) -> Answer | None:
        """The latest answer, once."""
        return self._answers.pop() if self._answers else None

    def _run(self) -> None:
        while True:
            self._changed.clear()
            began = time.monotonic()
            self._answers.append(self._ask(self._question))
            self._news()
            self._changed.wait(max(0.0, began + self._interval - time.monotonic()))
