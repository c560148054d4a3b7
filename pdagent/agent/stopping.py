"""The signals that stop the agent, from its first moment on."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


def stop_signals() -> list[signal.Signals]:
    """What stops the agent: also the end of its terminal, unless started with `nohup`."""
    asked = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        asked.append(signal.SIGHUP)
    return asked


class StopAsked(BaseException):
    """A signal to stop came before the agent had started; not an error."""


class StopSignals:
    """From its construction on, a signal to stop is noted, and takes effect where that is safe.

    Main thread only.
    """

    def __init__(self) -> None:
        self.asked = False
        """Whether a signal to stop has come."""
        self._may_interrupt = False
        self.only_note()

    def only_note(self) -> None:
        """From here on, a signal does nothing but set `asked`."""
        for number in stop_signals():
            signal.signal(number, self._note)

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Let a signal, or one that has come before, end this block by raising `StopAsked`."""
        self._may_interrupt = True
        try:
            if self.asked:
                raise StopAsked
            yield
        finally:
            self._may_interrupt = False

    def hand_over(self, loop: asyncio.AbstractEventLoop, stop: Callable[[], object]) -> None:
        """Have `loop` call `stop` for a signal from here on; now, if one has come before."""

        def note() -> None:
            self.asked = True
            stop()

        for number in stop_signals():
            loop.add_signal_handler(number, note)
        if self.asked:
            stop()

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True
        if self._may_interrupt:
            self._may_interrupt = False  # once: what it leads to must not be cut short
            raise StopAsked
