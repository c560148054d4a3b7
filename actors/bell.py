"""Wakes a thread that waits for work."""

from __future__ import annotations

import contextlib
import threading


class Bell:
    """One thread waits, any may ring: what is rung before the wait ends it at once.

    Not a `queue.SimpleQueue`: in CPython 3.11, its `get` waits for ever if its timeout is over
    before it has begun to wait, as one of some microseconds often is.
    """

    def __init__(self) -> None:
        self._silent = threading.Lock()
        self._silent.acquire()

    def ring(self) -> None:
        """Wake the thread, or have it not wait the next time."""
        if self._silent.locked():
            with contextlib.suppress(RuntimeError):  # another thread has just rung
                self._silent.release()

    def wait(self, seconds: float | None) -> None:
        """Return when the bell was rung, or after some time; None means never."""
        timeout = -1.0 if seconds is None else min(max(seconds, 0.0), threading.TIMEOUT_MAX)
        self._silent.acquire(timeout=timeout)
