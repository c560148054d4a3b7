"""The replicated log under a relay's journal.

`store.nats_log` implements it with NATS JetStream, `store.memory_log` for tests and the simulation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import msgspec

from store.errors import JournalError


class LogUnavailableError(JournalError):
    """The engine did not answer in time: what was asked for may be done later, or never."""


class LogConflictError(JournalError):
    """Another writer was first. Nothing was written."""


class LogTrimmedError(JournalError):
    """Messages that were asked for have been trimmed; `first` is the oldest one that is left."""

    def __init__(self, first: int) -> None:
        super().__init__(first)
        self.first = first


class Message(msgspec.Struct, frozen=True):
    """One message of the log; `seq` counts from 1 and never goes back."""

    seq: int
    data: bytes


class Row(msgspec.Struct, frozen=True):
    """The value of a key in the table, and the number of the write that put it there."""

    revision: int
    value: bytes


class Log(Protocol):
    """A totally ordered log and a table, both replicated. Thread-safe.

    Each method raises `LogUnavailableError` after a few seconds without an answer of the engine.
    """

    max_message: int
    """The most bytes that one message may have."""

    identity: str
    """Which log this is: the same for all who open it, another one after it was made anew."""

    def append(self, expected: int, data: bytes) -> int:
        """Append one message if `expected` is the number of the last one; return its number.

        It is on disk on most nodes when this returns. Raises `LogConflictError` if the last message
        has another number.
        """

    def read(self, after: int, wait: float = 0.0) -> Iterator[Message]:
        """The messages with `seq > after`, oldest first.

        Ends after the last one; if there is none, waits for one for up to `wait` seconds. Raises
        `LogTrimmedError` if the one after `after` was trimmed.
        """

    def bounds(self) -> tuple[int, int]:
        """The numbers of the oldest and of the last message.

        The last one stays the same when all messages are trimmed; the oldest is then one higher.
        """

    def size(self) -> int:
        """The bytes that the messages take on one node."""

    def trim(self, upto: int) -> None:
        """Remove the messages with `seq <= upto`."""

    def get(self, key: str) -> Row | None:
        """A key's row in the table, or None if it has none."""

    def put(self, key: str, value: bytes, expected: int | None = None) -> int:
        """Write a key's value and return its revision.

        With `expected`, only if that is the row's revision (0: it has none); otherwise raises
        `LogConflictError`. After a `LogUnavailableError` the write that is in the way may be the
        caller's own.
        """

    def rows(self, prefix: str) -> dict[str, Row]:
        """All rows whose key begins with `prefix`."""

    def close(self) -> None:
        """Close; nothing may be called afterwards."""
