"""Which relay takes this agent's events: what all senders of the process know about it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence

AVOID_SECONDS = 2.0
"""For so long no sender goes to a relay that gave no answer: a sender that waits for one keeps its
key waiting. No longer: a new owner is silent until it has read its journal, and is needed then."""


class RelayChoice:
    """The relay that took the last event, and those that give no answer. For all threads.

    `urls` are the relays in the order in which they are tried at first.
    """

    def __init__(self, urls: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._urls = tuple(urls)
        self._clock = clock
        self._lock = threading.Lock()
        self._current = 0
        self._silent: dict[str, float] = {}
        self.switches = 0
        """How often another relay than the one before took an event."""

    @property
    def current(self) -> str:
        """The relay that took the last event; before the first one, that which is tried first."""
        return self._urls[self._current]

    def next(self, tried: Collection[str], owner: str | None = None) -> str | None:
        """Where to try next after `tried`; None: nowhere, for now.

        `owner` is the relay that another one has named. One that gave no answer lately is left out
        while there are others. Once its time is over, the first caller alone gets it.
        """
        with self._lock:
            now, first = self._clock(), self._current
            order = [url for url in (*self._urls[first:], *self._urls[:first]) if url not in tried]
            if owner in order:
                order.remove(owner)
                order.insert(0, owner)
            for url in order:
                until = self._silent.get(url)
                if until is None or now >= until:
                    if until is not None:
                        self._silent[url] = now + AVOID_SECONDS
                    return url
            if tried or not order:
                return None
            return min(order, key=self._silent.__getitem__)

    def took(self, url: str) -> None:
        """This relay took an event, or refused it for good."""
        with self._lock:
            self._silent.pop(url, None)
            if url != self._urls[self._current]:
                self._current = self._urls.index(url)
                self.switches += 1

    def answered(self, url: str) -> None:
        """This relay gave an answer, whatever it was."""
        with self._lock:
            self._silent.pop(url, None)

    def gave_no_answer(self, url: str) -> None:
        """This relay could not be connected to in time, or did not answer in time."""
        with self._lock:
            self._silent[url] = self._clock() + AVOID_SECONDS
