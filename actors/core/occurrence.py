"""When the events of an alert occurred: parallel senders reach the agent in the wrong order."""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from store.records import EventAccepted

WINDOW = 900.0
"""Seconds for which the latest event of an alert is remembered after its acceptance."""

MOST_ALERTS = 10_000
"""Of one queue. Beyond that, the alerts without news for longest are forgotten."""


class Latest(msgspec.Struct, frozen=True, array_like=True):
    """The trigger or resolve of an alert that occurred last; times in seconds since 1970."""

    action: str
    occurred_at: float
    accepted_at: float


class RememberedAlerts(OrderedDict[str, Latest]):
    """By dedup key, in the order of acceptance. `note` alone changes it.

    An event without a time of occurrence is where it was accepted: what is known of its alert ends.
    """

    def later(self, dedup_key: str, occurred_at: float, now: float) -> Latest | None:
        """The trigger or resolve of this alert that is known at `now` to have occurred later."""
        latest = self.get(dedup_key)
        if latest is None or occurred_at >= latest.occurred_at:
            return None
        # A clock that was set back must not make new events look old.
        return latest if 0 <= now - latest.accepted_at < WINDOW else None

    def note(self, event: EventAccepted) -> None:
        """An event was accepted. Of two that occurred at the same time it is the later one."""
        if event.action not in ("trigger", "resolve"):
            return
        key, at = event.dedup_key, event.occurred_at
        if at is not None and self.later(key, at, event.at) is not None:
            return
        self.pop(key, None)
        if at is not None:
            self[key] = Latest(event.action, at, event.at)
        while self and (len(self) > MOST_ALERTS or self._first().accepted_at <= event.at - WINDOW):
            self.popitem(last=False)

    def _first(self) -> Latest:
        return next(iter(self.values()))
