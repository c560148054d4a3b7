"""The program with a fault built in: what the simulation must find."""

from __future__ import annotations

import msgspec

from actors import sequencer
from actors.core import decide
from actors.core.commands import NewEvent, Receipt, Refusal
from actors.core.decide import Deliver, Owed, WakeAfter
from actors.core.pace import DOCUMENTED, SLOWEST, Pace
from actors.core.state import QueueState
from actors.journal_writer import JournalWriter
from actors.sender import SenderPool
from actors.sequencer import Sequencer
from actors.slots import SenderId
from store.records import EventAccepted, QueueId
from tests.simulation.substitution import Substitute


def answered_before_the_commit() -> list[Substitute]:
    """The writer answers what has gathered, then commits it: a crash between the two loses it."""
    flush = JournalWriter._flush

    def answer_and_flush(writer: JournalWriter) -> None:
        for write in writer._buffer:
            for reply, answer in write.replies if writer._is_current(write) else ():
                reply(answer)
        writer._buffer = [msgspec.structs.replace(write, replies=()) for write in writer._buffer]
        flush(writer)

    return [(JournalWriter, "_flush", answer_and_flush)]


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

    The timer knows nothing of it any more.
    """
    recover = Sequencer._recover

    def recover_and_believe(actor: Sequencer) -> None:
        recover(actor)
        actor._wake_at = 0.0

    return [(Sequencer, "_recover", recover_and_believe)]


def ignored_fingerprint() -> list[Substitute]:
    """A used Idempotency-Key gets the first receipt, whatever event it comes with."""
    repeated = decide.repeated

    def credulous(event: NewEvent, first: NewEvent | EventAccepted) -> Receipt | Refusal:
        return repeated(msgspec.structs.replace(event, fingerprint=first.fingerprint), first)

    return [(sequencer, "repeated", credulous)]
