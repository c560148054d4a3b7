"""A log in memory with the contract of the real one, for tests and the simulation."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator

from store.log import (
    LogConflictError,
    LogTrimmedError,
    LogUnavailableError,
    Message,
    Row,
)


class MemoryEngine:
    """What the nodes of an engine keep. Each process has a `MemoryLog` on it."""

    def __init__(self, identity: str | None = None) -> None:
        self.identity = identity or secrets.token_hex(16)
        self.changed = threading.Condition()
        self.messages: dict[int, bytes] = {}
        self.first = 1
        self.last = 0
        self.table: dict[str, Row] = {}
        self.revision = 0
        self.up = True
        """Whether anybody gets an answer."""

    def store(self, expected: int, data: bytes) -> int:
        """Append a message as `Log.append` does; for callers that hold `changed`."""
        if expected != self.last:
            raise LogConflictError(f"the last message is {self.last}, not {expected}")
        self.last += 1
        self.messages[self.last] = data
        self.changed.notify_all()
        return self.last


class MemoryLog:
    """One process's handle on a `MemoryEngine`; `store.log.Log` describes the methods.

    These attributes make it fail:

    `connected` - False: each call raises `LogUnavailableError` and changes nothing.
    `lose_answers` - so many of the next appends are stored, but raise `LogUnavailableError`.
    `delay_appends` - so many of the next appends raise `LogUnavailableError` and are not stored
    before `deliver_late()`.
    """

    def __init__(self, engine: MemoryEngine | None = None, *, max_message: int = 1 << 20) -> None:
        self.engine = engine or MemoryEngine()
        self.identity = self.engine.identity
        self.max_message = max_message
        self.connected = True
        self.lose_answers = 0
        self.delay_appends = 0
        self._late: list[tuple[int, bytes]] = []

    def append(self, expected: int, data: bytes) -> int:
        if len(data) > self.max_message:
            raise ValueError(f"a message of {len(data)} bytes, at most {self.max_message} may be")
        with self.engine.changed:
            self._check()
            if self.delay_appends:
                self.delay_appends -= 1
                self._late.append((expected, data))
                raise LogUnavailableError("the append is delayed")
            seq = self.engine.store(expected, data)
            if self.lose_answers:
                self.lose_answers -= 1
                raise LogUnavailableError("the answer to the append was lost")
            return seq

    def deliver_late(self) -> list[int]:
        """Let the delayed appends arrive; return the numbers of those that were still stored."""
        stored = []
        with self.engine.changed:
            for expected, data in self._late:
                try:
                    stored.append(self.engine.store(expected, data))
                except LogConflictError:
                    continue
            self._late.clear()
        return stored

    def read(self, after: int, wait: float = 0.0) -> Iterator[Message]:
        deadline = time.monotonic() + wait
        with self.engine.changed:
            self._check()
            while self.engine.last <= after and (left := deadline - time.monotonic()) > 0:
                self.engine.changed.wait(left)
                self._check()
            upto = self.engine.last
        for seq in range(after + 1, upto + 1):
            with self.engine.changed:
                self._check()
                if seq < self.engine.first:
                    raise LogTrimmedError(self.engine.first)
                message = Message(seq, self.engine.messages[seq])
            yield message

    def bounds(self) -> tuple[int, int]:
        with self.engine.changed:
            self._check()
            return self.engine.first, self.engine.last

    def size(self) -> int:
        with self.engine.changed:
            self._check()
            return sum(map(len, self.engine.messages.values()))

    def trim(self, upto: int) -> None:
        with self.engine.changed:
            self._check()
            for seq in range(self.engine.first, min(upto, self.engine.last) + 1):
                del self.engine.messages[seq]
                self.engine.first = seq + 1

    def get(self, key: str) -> Row | None:
        with self.engine.changed:
            self._check()
            return self.engine.table.get(key)

    def put(self, key: str, value: bytes, expected: int | None = None) -> int:
        with self.engine.changed:
            self._check()
            row = self.engine.table.get(key)
            if expected is not None and expected != (row.revision if row else 0):
                raise LogConflictError(f"{key} was written by another one meanwhile")
            self.engine.revision += 1
            self.engine.table[key] = Row(self.engine.revision, value)
            return self.engine.revision

    def rows(self, prefix: str) -> dict[str, Row]:
        with self.engine.changed:
            self._check()
            table = self.engine.table
            return {key: table[key] for key in sorted(table) if key.startswith(prefix)}

    def close(self) -> None:
        with self.engine.changed:
            self.connected = False
            self.engine.changed.notify_all()

    def _check(self) -> None:
        if not (self.connected and self.engine.up):
            raise LogUnavailableError("the engine does not answer")
