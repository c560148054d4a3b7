"""Why an event can't be retried or discarded, according to the live state of its queue."""

from __future__ import annotations

from typing import Literal

import msgspec

from actors.core.decide import superseded
from actors.core.state import QueueState
from pdagent.operating.reading import steady
from store.records import EventId

Change = Literal["retry", "discard"]

BY_OPERATOR = "by an operator"
"""Recorded with what is discarded, unless a reason is given."""


class UnchangedEvent(msgspec.Struct, frozen=True):
    """An event that stays as it is (`id` as it was given), and the sentence that says why.

    `status` is the HTTP status that fits if this event alone was asked for.
    """

    id: str
    error: str
    status: int = 0


def obstacle(state: QueueState, event: EventId, change: Change, *, force: bool) -> str | None:
    """A sentence that says why not, and what to do instead; None if nothing is in the way."""
    letter = state.dead.get(event)
    if letter is not None:
        if change == "retry" and letter.superseded_by is not None and not force:
            return superseded(letter, letter.superseded_by).message
        return None
    waiting = state.waiting.get(event)
    if waiting is None:
        return (
            f"event {event} has ended, there is nothing to {change}: "
            f"'pagerduty-agent queue show {event}' says how"
        )
    if event == state.in_flight:
        return (
            f"event {event} is being delivered right now: see in a moment what became of it with "
            f"'pagerduty-agent queue show {event}'"
        )
    if change == "retry" and not _is_waiting_head(state, event):
        return (
            f"event {event} has not failed, it waits for its turn: events of one key are "
            "delivered in order, 'pagerduty-agent status' shows what its queue waits for"
        )
    return None


def _is_waiting_head(state: QueueState, event: EventId) -> bool:
    """Whether it is tried again later, so that a retry means now: never another than the first."""
    head = steady(state.waiting.head)
    return head is not None and head.id == event and steady(lambda: state.waits_after_failure)
