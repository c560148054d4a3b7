"""How events get into a queue, or why they don't: acceptance, repeated requests, the limits."""

from __future__ import annotations

import msgspec

from actors.core.commands import NewEvent, Policy, Receipt, Refusal
from actors.core.jobs import MOST_JOBS
from actors.core.occurrence import Latest
from actors.core.state import QueueState
from store.records import EventAccepted, EventDiscarded, JobReport, Record

OWN_NAME = "pagerduty-agent"
"""The `source` of events that the agent makes itself."""


def accept(state: QueueState, event: NewEvent, now: float) -> list[Record]:
    """Accept an event so that its alert ends as the order of occurrence says.

    A trigger is always delivered; if its alert has been resolved since it occurred, a resolve
    follows. What was meant for an alert before it was triggered anew is not delivered.
    """
    position = state.next_position
    if event.job is not None and event.job.expected and not state.jobs.takes(event.dedup_key):
        warnings = (*event.warnings, _TOO_MANY_EXPECTED)
        event = msgspec.structs.replace(event, job=JobReport(), warnings=warnings)
    if event.only_if_open and state.jobs.is_closed(event.dedup_key):
        return [
            _accepted(event, position, now),
            EventDiscarded(event=event.id, reason="not_needed", at=now),
        ]
    if event.occurred_at is None:
        return [_accepted(event, position, now)]
    later = state.alerts.later(event.dedup_key, event.occurred_at, now)
    match later, event.action:
        case Latest(action="resolve"), "trigger" if event.closing is not None:
            closing = msgspec.structs.replace(event.closing, occurred_at=later.occurred_at)
            return [
                _accepted(event, position, now, _CLOSED.format(closing.id)),
                _accepted(closing, position + 1, now, _CLOSES.format(event.id)),
            ]
        case Latest(action="trigger"), "acknowledge" | "resolve":
            return [
                _accepted(event, position, now, _OVERTAKEN),
                EventDiscarded(event=event.id, reason="overtaken", at=now),
            ]
    return [_accepted(event, position, now)]


_CLOSED = "its alert has been resolved since it occurred: delivered, and then resolved by event {}"
_CLOSES = "made by the agent: trigger {} arrived after a resolve that occurred later"
_TOO_MANY_EXPECTED = (
    f"{MOST_JOBS} jobs of this routing key are expected to report already: this one is NOT; give "
    "jobs names that stay the same, or another key"
)
_OVERTAKEN = (
    "its alert has been triggered since it occurred: not delivered, as it would concern the newer "
    "incident (overtaken)"
)


def _accepted(event: NewEvent, position: int, now: float, *warnings: str) -> EventAccepted:
    return EventAccepted(
        event=event.id,
        position=position,
        kind=event.kind,
        action=event.action,
        dedup_key=event.dedup_key,
        body=event.body,
        at=now,
        warnings=event.warnings + warnings,
        source=event.source,
        fingerprint=event.fingerprint,
        occurred_at=event.occurred_at,
        passed=event.passed,
        job=event.job,
    )


def overdue_alarms(state: QueueState, now: float) -> list[Record]:
    """Accept the alarms of jobs that have not reported a success in time."""
    return [
        EventAccepted(
            event=expected.event,
            position=state.next_position + n,
            kind="v2",
            action="trigger",
            dedup_key=dedup_key,
            body=expected.body,
            at=now,
            source=OWN_NAME,
        )
        for n, (dedup_key, expected) in enumerate(state.jobs.overdue(now))
    ]


def repeated(event: NewEvent, first: EventAccepted) -> Receipt | Refusal:
    """The answer to `event` after `first` was accepted with the same Idempotency-Key.

    The same request gets its receipt as it was given then. A different one is refused, or its
    sender would take it for stored. A record without a fingerprint is from a version that gave
    the receipt with a warning: it may be the answer to a repetition.
    """
    warnings = first.warnings
    if first.fingerprint:
        if first.fingerprint != event.fingerprint:
            return Refusal(reason="idempotency_key_reused", message=_reused(event, first))
    elif (first.kind, first.action, first.dedup_key) != (event.kind, event.action, event.dedup_key):
        warnings += (_reused(event, first),)
    return Receipt(event=event.id, dedup_key=first.dedup_key, warnings=warnings, repeated=True)


def _reused(event: NewEvent, first: EventAccepted) -> str:
    return (
        f"this Idempotency-Key was used before for another event ({event.id}, {first.kind} "
        f"{first.action} of {first.dedup_key!r}): this one was NOT stored, send it with a key of "
        "its own"
    )


def queue_full(state: QueueState, policy: Policy) -> Refusal | None:
    """Why the queue takes no more events, or None if it does."""
    if len(state.waiting) >= policy.max_queue_length:
        limit = f"{policy.max_queue_length} events wait for this routing key (max_queue_length)"
    elif state.waiting_room >= policy.max_journal // 2:
        limit = (
            f"the waiting events of this routing key fill its share, half of the journal's "
            f"{policy.max_journal >> 20} MB (max_journal_mb)"
        )
    else:
        return None
    return Refusal(
        reason="queue_full",
        message=f"{limit}: 'pagerduty-agent status' says why, 'pagerduty-agent help full-queue' "
        "what to do",
        retry_after=30,
    )
