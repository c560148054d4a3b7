"""All queues that are known, in the orders in which people look at them."""

from __future__ import annotations

import threading
from bisect import insort

from actors.directory import Directory, QueueEntry
from pdagent.operating.names import QueueNames


class KnownQueues:
    """All queues, and their order by name, which is kept. May be asked from any thread."""

    def __init__(self, directory: Directory, names: QueueNames) -> None:
        self.names = names
        self._directory = directory
        self._lock = threading.Lock()
        self._by_name: list[QueueEntry] = []
        self._newest = 0

    def count(self) -> int:
        """How many there are."""
        return len(self._directory)

    def notable(self) -> list[QueueEntry]:
        """Those that differ from an idle one, see `actors.figures.is_notable`."""
        return self._directory.figures.notable()

    def entries(self, offset: int = 0, limit: int | None = None) -> list[QueueEntry]:
        """In the order of their creation."""
        return self._directory.entries(offset, limit)

    def by_name(self) -> list[QueueEntry]:
        """In the order of their names."""
        with self._lock:
            news = self._directory.newer_than(self._newest)
            self._newest = max((entry.id for entry in news), default=self._newest)
            if len(news) * 10 > len(self._by_name):
                self._by_name += news
                self._by_name.sort(key=self.names.place_of)
            else:
                for entry in news:
                    insort(self._by_name, entry, key=self.names.place_of)
            if len(self._by_name) > len(self._directory):  # some are forgotten
                get = self._directory.get
                self._by_name = [entry for entry in self._by_name if get(entry.id) is entry]
            return self._by_name.copy()
