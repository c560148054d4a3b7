"""`status --watch`: keys, answers and the size of the terminal go in, screens come out."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, Self, TypeVar

import msgspec
from rich.console import Console, RenderableType
from rich.live import Live

from pdagent.dashboard.live.keyboard import Keyboard
from pdagent.dashboard.live.lines import Size
from pdagent.dashboard.live.view import View

_REDRAW = 1.0  # seconds

_Handler = Callable[[int, object], None]
Report = TypeVar("Report")
Known = TypeVar("Known", bound="Knowledge")


class Question(msgspec.Struct, frozen=True):
    """Which rows: as `GET /status` takes them."""

    sort: str
    match: str
    offset: int
    limit: int


class Answer(msgspec.Struct, Generic[Report], frozen=True):
    """`report` answers `question`, or `problem` says in one line why there is none."""

    question: Question
    report: Report | None = None
    problem: str = ""


class Knowledge(Protocol):
    """What is known of what is watched. It never changes: what comes in makes another one."""

    @property
    def rows(self) -> int:
        """How many rows there are in all."""

    def answered(self, report: Any, offset: int, now: datetime) -> Self:
        """The agent answered with the rows from number `offset` on."""

    def failed(self, why: str, now: datetime) -> Self:
        """The agent could not be asked, and why."""


class Poller(Generic[Report]):
    """Asks the agent in a thread: the keyboard must not wait for the answer.

    Every `interval` seconds, and at once when the question changes. `ask` returns an `Answer`,
    whatever happens. `news` is called in the poller's thread when an answer is there to be taken.
    """

    def __init__(
        self,
        ask: Callable[[Question], Answer[Report]],
        question: Question,
        interval: float,
        news: Callable[[], None],
    ) -> None:
        self._ask = ask
        self._question = question
        self._interval = interval
        self._news = news
        self._answers: deque[Answer[Report]] = deque(maxlen=1)
        self._changed = threading.Event()
        # A daemon: quitting does not wait for an agent that hangs.
        threading.Thread(target=self._run, name="poller", daemon=True).start()

    def want(self, question: Question) -> None:
        """Ask this from now on."""
        if question != self._question:
            self._question = question
            self._changed.set()

    def take(self) -> Answer[Report] | None:
        """The latest answer, once."""
        return self._answers.pop() if self._answers else None

    def _run(self) -> None:
        while True:
            self._changed.clear()
            began = time.monotonic()
            self._answers.append(self._ask(self._question))
            self._news()
            self._changed.wait(max(0.0, began + self._interval - time.monotonic()))


class Watch(Generic[Report, Known]):
    """A dashboard on a terminal, until `q` or a signal ends it.

    The terminal is given back as it was whatever ends it: a key, a signal, a mistake. `seen` is
    what is known at first, `page_of` how many rows a screen has room for, and `screen` draws it.
    """

    def __init__(
        self,
        console: Console,
        descriptor: int,
        ask: Callable[[Question], Answer[Report]],
        *,
        interval: float,
        seen: Known,
        view: View,
        page_of: Callable[[Size], int],
        screen: Callable[[Known, View, Size, datetime], RenderableType],
    ) -> None:
        self._console = console
        self._keyboard = Keyboard(descriptor)
        self._ask = ask
        self._interval = interval
        self._view = view
        self._seen = seen
        self._page_of = page_of
        self._screen = screen
        self._suspended = False
        self._ended_by: int | None = None

    def run(self) -> int:
        """Show the dashboard; returns the exit status: 0, or 128 and the number of a signal."""
        woken, wake = os.pipe()
        for descriptor in (woken, wake):
            os.set_blocking(descriptor, False)
        with self._keyboard, self._live() as live, self._signals(wake):
            self._loop(live, woken, wake)
        # Ctrl-C is the other way to quit.
        ended_by = self._ended_by
        return 0 if ended_by in (None, signal.SIGINT) else 128 + ended_by

    def _live(self) -> Live:
        # Drawn by this loop alone: what is shown is of one moment, and no thread draws beside it.
        return Live(console=self._console, screen=True, auto_refresh=False)

    def _loop(self, live: Live, woken: int, wake: int) -> None:
        poller = Poller(self._ask, self._question(), self._interval, lambda: _write(wake))
        keys = self._keyboard.descriptor
        while self._ended_by is None:
            self._draw(live)
            readable, _, _ = select.select([keys, woken], [], [], _REDRAW)
            if woken in readable:
                with contextlib.suppress(BlockingIOError):
                    os.read(woken, 4096)
            if self._suspended:
                self._rest(live)
            answer = poller.take()
            if answer is not None:
                self._note(answer)
            if keys in readable and not self._obey(self._keyboard.read()):
                return
            poller.want(self._question())

    def _draw(self, live: Live) -> None:
        size = self._size()
        self._view = self._view.within(self._page_of(size), self._seen.rows)
        shown = self._screen(self._seen, self._view, size, datetime.now(UTC))
        live.update(shown, refresh=True)

    def _obey(self, keys: list[str]) -> bool:
        for key in keys:
            view = self._view.pressed(key, self._page_of(self._size()), self._seen.rows)
            if view is None:
                return False
            self._view = view
        return True

    def _note(self, answer: Answer[Report]) -> None:
        now = datetime.now(UTC)
        if answer.report is None:
            self._seen = self._seen.failed(answer.problem, now)
        elif self._is_of_this_view(answer.question):
            self._seen = self._seen.answered(answer.report, answer.question.offset, now)

    def _is_of_this_view(self, question: Question) -> bool:
        return (question.sort, question.match) == (self._view.sort, self._view.match)

    def _question(self) -> Question:
        """A page more than is shown on each side, so that scrolling shows something at once."""
        page = self._page_of(self._size())
        # In steps, so that not every line scrolled is another question.
        start = max(0, (self._view.top - page) // page * page)
        return Question(self._view.sort, self._view.match, start, 4 * page)

    def _size(self) -> Size:
        width, height = self._console.size
        return Size(width, height)

    def _rest(self, live: Live) -> None:
        """Stop as Ctrl-Z asks, with the terminal as it was; go on when told to."""
        self._suspended = False
        live.stop()
        self._keyboard.rest()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._keyboard.wake()
        live.start()

    @contextlib.contextmanager
    def _signals(self, wake: int) -> Iterator[None]:
        """Within the block, signals are noted and wake the loop.

        None raises: an exception in the middle of drawing would leave the console in disorder.
        """

        def end(number: int, frame: object) -> None:
            self._ended_by = number

        def suspend(number: int, frame: object) -> None:
            self._suspended = True

        handlers: dict[int, _Handler] = {
            signal.SIGINT: end,
            signal.SIGTERM: end,
            signal.SIGHUP: end,
            signal.SIGTSTP: suspend,
            signal.SIGWINCH: lambda number, frame: None,
        }
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        woken_before = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(woken_before)
            for number, handler in before.items():
                signal.signal(number, handler)


def _write(wake: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.write(wake, b"\0")
