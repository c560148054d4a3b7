"""Waking the event loop from the actors' threads, which live longer than it does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


def wake(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    """Have `call` called in `loop`, from any thread; nothing happens once the loop is closed.

    While the agent stops, its actors finish what they have begun: nobody waits for it in the loop
    any more, and whoever wakes it then must not fail for that.
    """
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        if not loop.is_closed():
            raise
