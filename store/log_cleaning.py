"""Reads the oldest changes of a log, in portions, so that the log can be cleaned."""

from __future__ import annotations

from collections.abc import Iterator

from store.log import Log, Message
from store.replication import Assembly, Whole, part_in


class OldestChanges:
    """Goes on where the last portion ended. `restart` when a portion was not passed over."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._messages: Iterator[Message] = iter(())
        self._assembly = Assembly()

    def restart(self) -> None:
        """Begin with the oldest message the next time."""
        self._messages = iter(())

    def take(self, size: int) -> list[Whole]:
        """The next changes, with about `size` bytes of messages, or more for one that is larger.

        Empty if the log has no more. Raises as `store.log.Log.read`, and begins with the oldest
        message the next time.
        """
        messages, self._messages = self._messages, iter(())
        changes = self._next(messages, size)
        if not changes:
            first, _ = self._log.bounds()
            self._assembly = Assembly()
            messages = self._log.read(first - 1)
            changes = self._next(messages, size)
        self._messages = messages
        return changes

    def _next(self, messages: Iterator[Message], size: int) -> list[Whole]:
        changes: list[Whole] = []
        for message in messages:
            size -= len(message.data)
            whole = self._assembly.add(message.seq, part_in(message))
            if whole is not None:
                changes.append(whole)
                if size <= 0:
                    break
        return changes
