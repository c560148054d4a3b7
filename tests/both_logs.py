"""A relay's log for tests that hold for the engine and for its twin in memory alike."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import pytest

from store.log import Log
from store.memory_log import MemoryEngine, MemoryLog

LogOpener = Callable[[], Log]


@pytest.fixture(params=["memory", "nats"])
def open_log(request: pytest.FixtureRequest) -> Iterator[LogOpener]:
    """Opens one more handle on the test's log, as another process would."""
    handles: list[Log] = []
    shared = MemoryEngine()
    name = f"test-{secrets.token_hex(8)}"

    def opened() -> Log:
        if request.param == "memory":
            handles.append(MemoryLog(shared))
        else:
            from store.nats_log import NatsLog  # most tests do without its library

            handles.append(NatsLog(request.getfixturevalue("engine").urls, name))
        return handles[-1]

    yield opened
    for handle in handles:
        handle.close()
