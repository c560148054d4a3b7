"""What keeps pages from arriving, beside an unreachable PagerDuty: read from the live queues."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from actors.core.accepting import queue_full
from actors.directory import QueueEntry
from actors.system import ActorSystem
from pdagent.operating.reading import last
from pdagent.wording import counted
from store.records import RoutingKey

ConditionKind = Literal["dead_letters", "quarantined", "queue_full", "journal_full"]


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """Something that needs a person. `queue` is the name of the queue it is about, if it is one.

    `count` rises when it happens once more: people may have closed the alert about the last time.
    """

    kind: ConditionKind
    summary: str
    remedy: str
    queue: str | None = None
    event: str | None = None
    error: str | None = None
    count: int = 0


class Conditions:
    """Finds the conditions of all queues except the one that delivers the alerts about them."""

    def __init__(
        self, system: ActorSystem, name_of: Callable[[RoutingKey], str], except_for: RoutingKey
    ) -> None:
        self._system = system
        self._name_of = name_of
        self._except_for = except_for

    def now(self) -> Mapping[str, Condition]:
        """All that hold now, each under a name that stays the same until it ends."""
        found: dict[str, Condition] = {}
        refusal = self._system.admission.refusal
        if refusal is not None and refusal.reason == "journal_full":
            found["journal_full"] = Condition(
                kind="journal_full",
                summary="the journal is full: new events are refused",
                remedy="pagerduty-agent status",
                error=refusal.message,
            )
        for entry in self._system.directory.figures.notable():
            if entry.routing_key != self._except_for:
                found |= self._dead_letters(entry) | self._of_a_queue(entry)
        return found

    def _dead_letters(self, entry: QueueEntry) -> dict[str, Condition]:
        letter = last(entry.state.dead)
        if letter is None:
            return {}
        name, dead = self._name_of(entry.routing_key), len(entry.state.dead)
        return {
            f"dead_letters/{entry.id}": Condition(
                kind="dead_letters",
                summary=f"{counted(dead, 'event')} for {name} could not be delivered, the last is "
                f"{letter.id}: {letter.error}",
                remedy=f"pagerduty-agent queue show {letter.id}",
                queue=name,
                event=letter.id,
                error=letter.error,
                count=entry.state.counters.dead_lettered,
            )
        }

    def _of_a_queue(self, entry: QueueEntry) -> dict[str, Condition]:
        name = self._name_of(entry.routing_key)
        if entry.phase == "quarantined":
            condition = Condition(
                kind="quarantined",
                summary=f"the queue of {name} fails again and again: its events wait",
                remedy="pagerduty-agent status",
                queue=name,
                error=entry.state.last_error,
            )
        elif (full := queue_full(entry.state, self._system.policy)) is not None:
            condition = Condition(
                kind="queue_full",
                summary=f"the queue of {name} is full: new events of this key are refused",
                remedy=f"pagerduty-agent queue list -k {name}",
                queue=name,
                error=full.message,
            )
        else:
            return {}
        return {f"{condition.kind}/{entry.id}": condition}
