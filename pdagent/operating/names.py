"""What people call a queue: the configured name of its routing key, else the masked key."""

from __future__ import annotations

from collections.abc import Iterable

from actors.directory import QueueEntry
from pdagent.masking import mask
from store.records import RoutingKey


class QueueNames:
    """The names in `routing_keys` (name -> key), and masks for all other keys.

    With `whole`, other keys show as they are.
    """

    def __init__(self, routing_keys: dict[str, str], *, whole: bool = False) -> None:
        self.whole = whole
        # Of two names for one key the first counts, as everywhere.
        self._names = {RoutingKey(key): name for name, key in reversed(routing_keys.items())}
        self._keys = {name: RoutingKey(key) for name, key in routing_keys.items()}

    def of(self, key: RoutingKey) -> str:
        """The name under which a key may be shown."""
        return self._names.get(key) or (key if self.whole else mask(key))

    def place_of(self, entry: QueueEntry) -> tuple[str, str]:
        """Where a queue stands in the order of names."""
        name = self.of(entry.routing_key)
        return name.lower(), name

    def key_of(self, name: str) -> RoutingKey | None:
        """The key that has `name` (with or without `@`) in the config."""
        return self._keys.get(name.removeprefix("@"))

    def is_configured(self, key: RoutingKey) -> bool:
        """Whether the config has a name for this key."""
        return key in self._names

    def called(self, name: str, queues: Iterable[QueueEntry]) -> list[QueueEntry]:
        """The queues that go by `name`: one with that configured name, or all with that mask.

        Those with a name go by their mask as well.

        In a mask, three dots may stand for the one character that keyboards don't have.
        """
        key = self.key_of(name)
        if key is not None:
            return [entry for entry in queues if entry.routing_key == key]
        shown = name.replace("...", "…")
        return [entry for entry in queues if mask(entry.routing_key) == shown]
