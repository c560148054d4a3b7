"""The program with a fault built in: what the simulation must find."""

from __future__ import annotations

import math
from math import inf
from typing import Any

import msgspec

from actors import janitor, journal_writer, sequencer, supervisor
from actors.core import accepting, decide, evolve
from actors.core.breaker import Breaker
from actors.core.commands import NewEvent, Policy, Receipt, Refusal
from actors.core.decide import Deliver, Owed, WakeAfter
from actors.core.jobs import Jobs
from actors.core.occurrence import RememberedAlerts
from actors.core.pace import DOCUMENTED, SLOWEST, Pace
from actors.core.restarts import RestartPolicy
from actors.core.state import QueueState
from actors.core.verdict import Deferred, Verdict
from actors.core.waiting import WaitingEvent
from actors.janitor import Janitor
from actors.journal_writer import JournalWriter
from actors.messages import SenderId, Write
from actors.sender import SenderPool
from actors.sequencer import Sequencer
from actors.slots import DeliverySlots
from actors.supervisor import Supervisor
from pdagent.eventsapi import verdict as table
from store import retention
from store.port import Journal
from store.records import EventAccepted, EventDiscarded, EventId, QueueId, Record
from tests.simulation.substitution import Substitute


def answered_before_the_commit() -> list[Substitute]:
    """The writer answers what has gathered, then commits it: a crash between the two loses it."""
    flush = JournalWriter._flush

    def answer_and_flush(writer: JournalWriter) -> None:
        for write in writer._buffer:
            if writer._is_current(write):
                writer._answer(write)
        flush(writer)

    return [(JournalWriter, "_flush", answer_and_flush)]


def answered_while_a_commit_hangs() -> list[Substitute]:
    """A commit that takes longer than five seconds is taken for one that succeeds in the end."""
    flush, tick = JournalWriter._flush, Supervisor._tick
    under_way: list[tuple[float, Write]] = []

    def noted(writer: JournalWriter) -> None:
        now = journal_writer.time.monotonic()
        under_way[:] = [(now, write) for write in writer._buffer if writer._is_current(write)]
        try:
            flush(writer)
        finally:
            under_way.clear()

    def impatient(actor: Supervisor, now: float) -> None:
        tick(actor, now)
        for since, write in under_way:
            if now > since + 5.0:
                for reply, answer in write.replies:
                    reply(answer)
                write.replies = ()

    return [(JournalWriter, "_flush", noted), (Supervisor, "_tick", impatient)]


def quarantined_singles() -> list[Substitute]:
    """A writer or sender that fails too often is not restarted for a while, as a queue's actor."""
    return [(supervisor, "SteadyRestarts", RestartPolicy)]


def refusing_for_ever() -> list[Substitute]:
    """The writer asks only after a commit whether there is room, and there is none without room."""
    look_again = JournalWriter._look_again

    def look_only(writer: JournalWriter) -> None:
        admit, writer._admit = writer._admit, lambda: None  # type: ignore[method-assign]
        try:
            look_again(writer)
        finally:
            writer._admit = admit  # type: ignore[method-assign]

    return [(JournalWriter, "_look_again", look_only)]


def overtaking_retry() -> list[Substitute]:
    """While the head waits for its next attempt, the event behind it goes first."""
    resume = decide.resume

    def impatient(state: QueueState, now: float) -> Owed:
        owed = resume(state, now)
        if isinstance(owed, WakeAfter):
            queued = [event.id for event in state.waiting.values() if event.state == "queued"]
            if queued:
                return Deliver(queued[0])
        return owed

    return [(decide, "resume", impatient), (sequencer, "resume", impatient)]


def discarded_sender_with_an_open_client() -> list[Substitute]:
    """A sender that hangs is replaced, but its client stays open."""
    discard = SenderPool.discard

    def discard_only(pool: SenderPool, number: SenderId) -> list[QueueId]:
        port = pool._ports[number]
        close, port.close = port.close, lambda: None  # type: ignore[method-assign]
        try:
            return discard(pool, number)
        finally:
            port.close = close  # type: ignore[method-assign]

    return [(SenderPool, "discard", discard_only)]


def slower_after_each_refusal() -> list[Substitute]:
    """A burst of rate limits slows its key down with each of them."""

    def call_refused(pace: Pace, at: float) -> None:
        pace.refused_at = pace.since = at
        pace.interval = min(SLOWEST, max(DOCUMENTED, pace.interval * 1.5))

    return [(Pace, "call_refused", call_refused)]


def lost_wakeup_after_restart() -> list[Substitute]:
    """A Sequencer that comes back takes the wake-up that its predecessor had asked for as its own.

    That message was sent to the predecessor.
    """
    recover = Sequencer._recover

    def recover_and_believe(actor: Sequencer) -> None:
        recover(actor)
        actor._wake_at = 0.0

    return [(Sequencer, "_recover", recover_and_believe)]


def ignored_fingerprint() -> list[Substitute]:
    """A used Idempotency-Key gets the first receipt, whatever event it comes with."""
    repeated = accepting.repeated

    def credulous(event: NewEvent, first: EventAccepted) -> Receipt | Refusal:
        return repeated(msgspec.structs.replace(event, fingerprint=first.fingerprint), first)

    return [(sequencer, "repeated", credulous)]


def a_login_page_is_a_delivery() -> list[Substitute]:
    """Any 202 counts, whatever its body."""
    return [(table, "html_page", lambda body: None)]


def any_4xx_is_a_refusal() -> list[Substitute]:
    """An answer without JSON is taken for PagerDuty's."""
    return [(table, "json_object", lambda body: {"status": "success" if not body else "?"})]


def every_attempt_counts() -> list[Substitute]:
    """Also those between which PagerDuty accepted nothing."""

    def counts(slots: DeliverySlots, queue: QueueId, event: EventId, verdict: Verdict) -> bool:
        return isinstance(verdict, Deferred)

    return [(DeliverySlots, "_counts", counts)]


def given_up_within_the_hour() -> list[Substitute]:
    """As soon as enough attempts have failed, however quickly."""
    policy = decide._gives_up

    def hasty(event: WaitingEvent, command: Any, now: float, limits: Policy) -> str | None:
        return policy(event, command, now, msgspec.structs.replace(limits, least_failing=0.0))

    return [(decide, "_gives_up", hasty)]


def never_given_up_after_all() -> list[Substitute]:
    """`give_up_after` has no effect."""
    policy = decide._gives_up

    def patient(event: WaitingEvent, command: Any, now: float, limits: Policy) -> str | None:
        return policy(event, command, now, msgspec.structs.replace(limits, give_up_after=math.inf))

    return [(decide, "_gives_up", patient)]


def retry_after_of_limits_alone() -> list[Substitute]:
    """A 503 that asks for patience is tried again like any other."""
    delay = decide._delay

    def hasty(state: QueueState, verdict: Deferred, chance: float, *, link_failing: bool) -> float:
        if verdict.reason != "rate_limited":
            verdict = msgspec.structs.replace(verdict, retry_after=None)
        return delay(state, verdict, chance, link_failing=link_failing)

    return [(decide, "_delay", hasty)]


def each_key_probes_alone() -> list[Substitute]:
    """While PagerDuty fails for all keys, the breaker holds nobody back."""

    def allows(breaker: Breaker, now: float) -> bool:
        return breaker.state != "unreachable" or now >= breaker._next_probe

    return [(Breaker, "allows", allows)]


def retention_by_time_alone() -> list[Substitute]:
    """A sweep stops at the first record whose time lies in the future."""
    sweep = retention.sweep

    def stopping(*arguments: Any, **named: Any) -> retention.Swept:
        return sweep(*arguments, **{**named, "now": inf})

    return [(janitor, "sweep", stopping)]


def full_journal_by_time_alone() -> list[Substitute]:
    """However full the journal is, what has ended in the future stays."""
    sweep = retention.sweep

    def stopping(
        journal: Journal, queue: QueueId, before: float, limit: int, *, now: float, **named: Any
    ) -> retention.Swept:
        if before == inf:
            before, now = now, inf
        return sweep(journal, queue, before, limit, now=now, **named)

    return [(janitor, "sweep", stopping)]


def waiting_without_a_share() -> list[Substitute]:
    """A key may fill the whole journal with waiting events."""
    full = decide.queue_full

    def by_length(state: QueueState, policy: Policy) -> Refusal | None:
        return full(state, msgspec.structs.replace(policy, max_journal=1 << 62))

    return [(decide, "queue_full", by_length)]


def dead_letters_without_a_share() -> list[Substitute]:
    """A full journal keeps all dead letters."""
    return [(Janitor, "_share_of_dead_letters", lambda janitor: 1 << 62)]


def late_trigger_without_its_resolve() -> list[Substitute]:
    """A trigger that comes after a later resolve of its alert opens it for good."""
    accept = decide.accept

    def alone(state: QueueState, event: NewEvent, now: float) -> list[Record]:
        return accept(state, msgspec.structs.replace(event, closing=None), now)

    return [(decide, "accept", alone)]


def overtaken_events_are_delivered() -> list[Substitute]:
    """A resolve that comes after a later trigger closes the newer incident."""
    accept = decide.accept

    def all_the_same(state: QueueState, event: NewEvent, now: float) -> list[Record]:
        records = accept(state, event, now)
        return [record for record in records if not isinstance(record, EventDiscarded)]

    return [(decide, "accept", all_the_same)]


def events_without_a_time_are_overlooked() -> list[Substitute]:
    """A resolve counts as the latest news of an alert although it was triggered since."""
    note = RememberedAlerts.note

    def note_with_time(alerts: RememberedAlerts, event: EventAccepted) -> None:
        if event.occurred_at is not None:
            note(alerts, event)

    return [(RememberedAlerts, "note", note_with_time)]


def overdue_without_a_wake_up() -> list[Substitute]:
    """A job that is overdue is noticed only when something else happens to its queue."""
    look = Sequencer._see_to_overdue

    def unplanned(actor: Sequencer, state: QueueState) -> float | None:
        look(actor, state)
        return None

    return [(Sequencer, "_see_to_overdue", unplanned)]


def late_reports_of_jobs_count() -> list[Substitute]:
    """The report of a job that arrives last holds, whatever was reported of a later run."""
    return [(evolve, "_is_late", lambda state, event: False)]


def known_jobs_need_no_resolve() -> list[Substitute]:
    """The success of a job is delivered only if nothing is known of the job."""
    return [(Jobs, "is_closed", lambda jobs, dedup_key: dedup_key in jobs)]
