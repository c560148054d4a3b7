"""Relays with a fault built in: what the simulation must find."""

from __future__ import annotations

import contextlib

from actors.core import lease
from actors.core.lease import Lease
from pdagent.relay.leased import LeasedPort
from store import log_writer
from store.errors import EngineSilentError
from store.follower import Follower
from store.lmdb_copy import LmdbCopy
from store.log import LogConflictError, LogUnavailableError
from store.log_writer import LogWriter
from store.replicated_journal import ReplicatedJournal
from store.replication import Kept, TakenOver
from tests.simulation.relays.engine import SimulatedLog
from tests.simulation.substitution import Substitute


def an_owner_that_ignores_its_lease() -> list[Substitute]:
    """A sender does not look at the lease."""
    return [(LeasedPort, "deliver", lambda port, event: port._port.deliver(event))]


def append_without_the_expected_number() -> list[Substitute]:
    """The log takes whatever comes."""

    def appended(log: SimulatedLog, expected: int, data: bytes) -> int:
        return log._call(
            lambda: log._engine.append(log._memory, log._memory.engine.last, data), "append"
        )

    return [(SimulatedLog, "append", appended)]


def retry_that_does_not_look() -> list[Substitute]:
    """After a time-out the change is appended again, behind whatever is the last message now."""

    def append(writer: LogWriter, data: bytes, after: int, deadline: float) -> int:
        while True:
            try:
                return writer._log.append(after, data)
            except LogUnavailableError as error:
                trouble = error
            if log_writer.time.monotonic() >= deadline:
                raise EngineSilentError(writer._patience, trouble)
            with contextlib.suppress(LogUnavailableError):
                after = writer._log.bounds()[1]

    return [(LogWriter, "_append_message", append)]


def take_over_without_catching_up() -> list[Substitute]:
    """A new owner begins with what its copy happened to have."""

    def take_over(journal: ReplicatedJournal) -> None:
        with journal._noticing():
            if not journal._follower.is_sound:
                journal._follower.resume()
            position = journal._writer.append(TakenOver(journal._owner), journal._log.bounds()[1])
            journal._follower.appended(position.seq)
            journal._follower.is_sound = True
            journal._follower.own(journal._writer.id)

    return [(ReplicatedJournal, "take_over", take_over)]


def time_without_answers_counts() -> list[Substitute]:
    """A challenger's patience ends while the engine is down."""
    unanswered = Lease.unanswered

    def keep(held: Lease) -> None:
        answered = held._answered
        unanswered(held)
        held._answered = answered

    return [(Lease, "unanswered", keep), (lease, "LONGEST_LOOK", 1e9)]


def a_challenger_without_patience() -> list[Substitute]:
    """A relay takes the lease when it has not changed for three seconds."""
    return [(lease, "PATIENCE", 3.0)]


def an_owner_that_is_never_fenced() -> list[Substitute]:
    """An owner that finds another one's messages applies them, and goes on."""
    return [(Follower, "_refuse_another_owner", lambda follower, seq, part: None)]


def a_refusal_means_that_it_is_stored() -> list[Substitute]:
    """After a time-out, what is refused was stored at the first attempt."""

    def append(writer: LogWriter, data: bytes, after: int, deadline: float) -> int:
        tried = False
        while True:
            try:
                return writer._log.append(after, data)
            except LogUnavailableError as error:
                tried, trouble = True, error
            except LogConflictError:
                if tried:
                    return after + 1
                raise
            if log_writer.time.monotonic() >= deadline:
                raise EngineSilentError(writer._patience, trouble)

    return [(LogWriter, "_append_message", append)]


def trimming_without_keeping() -> list[Substitute]:
    """What has been needed of old messages is not kept when they are trimmed."""

    def nothing(copy: LmdbCopy, changes: object) -> Kept:
        return Kept(copy._last, 0, copy.forgotten(), [], [], [], [])

    return [(LmdbCopy, "still_needed", nothing)]
