"""Which connections wait for a request, and since when: one of them makes room for a new one."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Protocol


class Connection(Protocol):
    """What is known here of a connection."""

    transport: asyncio.Transport


class Waiting:
    """Connections that wait for a complete request, in the order in which they began to wait."""

    def __init__(self) -> None:
        self._new: OrderedDict[Connection, None] = OrderedDict()
        self._idle: OrderedDict[Connection, None] = OrderedDict()

    def add_new(self, connection: Connection) -> None:
        """It has just been made."""
        self._new[connection] = None

    def add_idle(self, connection: Connection) -> None:
        """It has got the answer to its latest request."""
        self._idle[connection] = None

    def remove(self, connection: Connection) -> None:
        """It has sent a request, or has ended; it need not be there."""
        self._new.pop(connection, None)
        self._idle.pop(connection, None)

    def close_oldest(self) -> bool:
        """Close the one that has waited longest; False if none waits.

        Those without any request go first: they may be there only to keep others out.
        """
        waiting = self._new or self._idle
        if not waiting:
            return False
        connection, _ = waiting.popitem(last=False)
        connection.transport.abort()
        return True
