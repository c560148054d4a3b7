"""Keeps the journal small: expires dead letters and has old entries removed.

Reading happens here, in a thread of its own, removing in the JournalWriter.
"""

from __future__ import annotations

import time
from collections import deque
from math import inf
from typing import Any

from actors.core.commands import Answer, Command, ExpireDeadLetters, LimitDeadLetters
from actors.core.state import ATTEMPTS_KEPT
from actors.directory import QueueEntry
from actors.journal_writer import Admission
from actors.messages import Due, Perform, Remove, Report, SaveSnapshot
from actors.supervised import SupervisedActor
from actors.surroundings import Surroundings
from store.records import Entry, EventId, QueueId
from store.retention import Front, middle_attempts, sweep

PERIOD = 60.0  # seconds
LOOK_EVERY = 1.0  # seconds
RETENTION_WHEN_TIGHT = (3600.0, 60.0)  # in the first rounds, and nothing in all further ones
TIGHT = 7 / 8  # of the journal's limit: history goes before events are refused
_BELIEVED_AFTER = 600  # looks
_BATCH = 5_000
_NO_LIMIT = 1 << 62
_MOST_WAKES = 1_000  # Sequencers started in one round: each takes memory while it runs


class Janitor(SupervisedActor):
    """Goes over all queues once a minute, and each second while the journal is tight.

    `retention` in seconds. In a tight journal, only the last hour of what has ended is kept, less
    in each further round, and nothing of it in the end: refusing an alert to save the history of
    delivered ones would be the wrong way round. Dead letters are no history: they have their time,
    but in a full journal each key may keep only its share of them.
    """

    def __init__(
        self, report: Report, around: Surroundings, admission: Admission, retention: float
    ) -> None:
        super().__init__(report)
        self._around = around
        self._admission = admission
        self._retention = retention
        self._tight_rounds = 0
        self._next_round = 0.0
        self._fronts: dict[QueueId, Front] = {}
        self._old = 0
        self._shortened: dict[QueueId, tuple[EventId, int]] = {}
        self._clock_ahead_by: deque[float] = deque(maxlen=_BELIEVED_AFTER)
        self._wakes = 0

    def begin(self) -> None:
        """The first round comes after the first period: a start has better things to do."""
        self._next_round = time.monotonic() + min(PERIOD, self._retention)
        self._look_later()

    def receive(self, message: Any) -> None:
        """`Due` is the only message."""
        match message:
            case Due():
                now = self._believed_time()
                self._tight_rounds = self._tight_rounds + 1 if self._is_tight() else 0
                if self._tight_rounds or time.monotonic() >= self._next_round:
                    more = self._go_round(now)
                    pause = LOOK_EVERY if more else PERIOD
                    self._next_round = time.monotonic() + min(pause, self._retention)
                self._look_later()

    def _look_later(self) -> None:
        self.actor_inbox.deadline = time.monotonic() + min(LOOK_EVERY, self._retention)

    def _believed_time(self) -> float:
        """The wall clock (seconds since 1970), but set ahead it is believed only after a while.

        For a moment in which it is wrong, all dead letters would expire.
        """
        self._clock_ahead_by.append(self._around.clock() - time.monotonic())
        return time.monotonic() + min(self._clock_ahead_by)

    def _is_tight(self) -> bool:
        usage, refusal = self._around.journal.usage(), self._admission.refusal
        is_full = refusal is not None and refusal.reason == "journal_full"
        return is_full or usage.used >= usage.limit * TIGHT

    def _go_round(self, now: float) -> bool:
        """True if there is more to remove than one batch takes."""
        before = now - self._retention
        history, tight = before, self._tight_rounds
        if tight > len(RETENTION_WHEN_TIGHT):
            history = inf
        elif tight:
            history = max(before, now - RETENTION_WHEN_TIGHT[tight - 1])
        share, removed = self._share_of_dead_letters(), 0
        self._wakes = _MOST_WAKES
        for entry in self._around.directory.entries():
            if self._is_quiet(entry, history, now):
                continue
            dead = entry.state.dead
            if dead.older_than(before, now):
                self._perform(entry, ExpireDeadLetters(before))
            if dead.room > share:
                self._perform(entry, LimitDeadLetters(share))
            removed += self._sweep(entry, history, now)
            self._shorten_attempts(entry)
            if tight:
                # Only what a saved snapshot covers can be removed, in the next round then.
                self._around.directory.tell(entry.id, SaveSnapshot())
            elif removed >= _BATCH:
                break  # commits wait while the writer removes: the rest follows in the next rounds
        return removed >= _BATCH or not self._wakes

    def _is_quiet(self, entry: QueueEntry, before: float, now: float) -> bool:
        """Whether there is nothing to remove of a queue without a Sequencer.

        One is started where it alone can go on: a queue that is empty removes itself as it stops,
        and saves a snapshot, behind which its old records can be removed. After a kill, the last
        records of a queue may lie beyond its snapshot, and with them the end of all its events.
        """
        state, journal = entry.state, self._around.journal
        if entry.sequencer is not None or state.waiting or state.dead:
            return False
        self._fronts.pop(entry.id, None)
        if entry.oldest_at is not None and before <= entry.oldest_at <= now:
            return True
        oldest = next(journal.entries(entry.id), None)
        if oldest is None:
            if state.hold is None and not state.jobs:
                self._wake(entry)
            return True
        entry.oldest_at = oldest.record.at
        if before <= entry.oldest_at <= now:
            return True
        snapshot = journal.snapshot(entry.id)
        if snapshot is not None and next(journal.entries(entry.id, snapshot.seq), None) is None:
            return False
        self._wake(entry)
        return True

    def _wake(self, entry: QueueEntry) -> None:
        if self._wakes:
            self._wakes -= 1
            self._around.ask_for_successor(entry.id)

    def _share_of_dead_letters(self) -> int:
        """How many bytes of dead letters a key may keep.

        In a full journal a quarter of it, or less, if those of many keys fill more than half.
        """
        usage = self._around.journal.usage()
        if usage.used < usage.limit:
            return _NO_LIMIT
        share = usage.limit // 4
        rooms = [entry.state.dead.room for entry in self._around.directory.entries()]
        while sum(min(room, share) for room in rooms) > usage.limit // 2:
            share //= 2
        return share

    def _perform(self, entry: QueueEntry, command: Command) -> None:
        self._around.command(entry.routing_key, Perform(command, _ignore))

    def _sweep(self, entry: QueueEntry, before: float, now: float) -> int:
        """Remove what ended before `before`, one batch at most; the number of records."""
        journal, state = self._around.journal, entry.state
        ended, self._fronts[entry.id] = sweep(
            journal,
            entry.id,
            before,
            _BATCH,
            now=now,
            alive={*state.waiting, *state.dead},
            front=self._fronts.get(entry.id, Front()),
            old_elsewhere=self._old,
        )
        self._old = max(self._old, self._fronts[entry.id].old)
        self._remove(ended)
        return len(ended)

    def _shorten_attempts(self, entry: QueueEntry) -> None:
        """It reads all that waits behind the head: only after many more attempts, not each time."""
        try:
            head = entry.state.waiting.head()
        except (RuntimeError, LookupError):
            return  # its Sequencer changes it right now: another round will do
        if head is None or head.attempts <= 2 * ATTEMPTS_KEPT:
            return
        event, attempts = self._shortened.get(entry.id, (None, 0))
        if head.id != event or head.attempts >= attempts + ATTEMPTS_KEPT:
            self._shortened[entry.id] = head.id, head.attempts
            journal = self._around.journal
            self._remove(middle_attempts(journal, entry.id, head.id, ATTEMPTS_KEPT))

    def _remove(self, entries: list[Entry]) -> None:
        if entries:  # without a writer, its successor removes them in the next round
            self._around.tell_writer(Remove(entries))


def _ignore(answer: Answer) -> None:
    """The journal has the result; no caller waits for an answer."""
