"""A thread that waits for work is woken, and goes on when its time is over."""

from __future__ import annotations

import threading
import time

from pykka._envelope import Envelope

from actors.bell import Bell
from actors.messages import Due, Wake
from actors.supervised import DeadlineInbox

_LONG = 20.0


def test_a_wait_of_some_microseconds_ends_after_a_ring() -> None:
    """A queue.SimpleQueue waits for ever in this case (CPython 3.11)."""
    ended = threading.Event()

    def wait() -> None:
        bell = Bell()
        for _ in range(2_000):
            bell.ring()
            bell.wait(None)
            bell.wait(1e-6)
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    assert ended.wait(_LONG)


def test_an_inbox_is_due_in_time_while_messages_come() -> None:
    ended = threading.Event()

    def receive() -> None:
        inbox = DeadlineInbox()
        for _ in range(2_000):
            inbox.put(Envelope(Wake()))
            inbox.deadline = time.monotonic() + 2e-5
            while not isinstance(inbox.get().message, Due):
                pass
        ended.set()

    threading.Thread(target=receive, daemon=True).start()
    assert ended.wait(_LONG)


def test_a_message_wakes_an_inbox_that_waits() -> None:
    inbox = DeadlineInbox()
    inbox.deadline = time.monotonic() + _LONG
    got: list[object] = []
    thread = threading.Thread(target=lambda: got.append(inbox.get().message), daemon=True)
    thread.start()
    inbox.put(Envelope(Wake()))
    thread.join(_LONG / 2)
    assert got == [Wake()]
    assert inbox.empty()
