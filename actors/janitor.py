"""Keeps the journal small: expires dead letters and has old entries removed.

Reading happens here, in a thread of its own, removing in the JournalWriter.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any, NamedTuple

import pykka

from actors.core.commands import Answer, ExpireDeadLetters
from actors.directory import QueueEntry
from actors.journal_writer import Admission, Remove
from actors.messages import Perform, Route, SaveSnapshot
from actors.supervised import DeadlineInbox, Due, Report, SupervisedActor
from actors.surroundings import Surroundings
from store.records import Entry, QueueId
from store.retention import ended_before, middle_attempts

PERIOD = 60.0
PERIOD_WHEN_FULL = 2.0
RETENTION_WHEN_FULL = 3600.0
_SHRINKS_BY = 8.0
_MOST_SHRINKING = 5  # to 0.1 s: nothing that has ended is kept
_BATCH = 5_000
_MUCH = 1_000  # records: reading fewer costs nothing worth mentioning
_LONGEST_PAUSE = 32  # rounds
_ATTEMPTS_KEPT = 200


class _InVain(NamedTuple):
    """A queue of which much was read for nothing when so many of its events had `ended`.

    Reading a long one takes seconds: it is left out for `pause` rounds, twice as many each time,
    unless another event ends.
    """

    ended: int
    pause: int
    left_out: int


class Janitor(SupervisedActor):
    """Goes over all queues once a minute.

    `retention` in seconds. While the journal is full, only the last hour of what has ended is kept,
    and an eighth of that in each further round: refusing an alert to save the history of delivered
    ones would be the wrong way round. Dead letters are no history: they always have their time.
    """

    actor_inbox: DeadlineInbox

    def __init__(
        self, report: Report, around: Surroundings, admission: Admission, retention: float
    ) -> None:
        super().__init__(report)
        self._around = around
        self._admission = admission
        self._retention = retention
        self._full_rounds = 0
        self._in_vain: dict[QueueId, _InVain] = {}

    @staticmethod
    def _create_actor_inbox() -> DeadlineInbox:
        return DeadlineInbox()

    def begin(self) -> None:
        """The first round comes after the first period: a start has better things to do."""
        self.actor_inbox.deadline = time.monotonic() + min(PERIOD, self._retention)

    def receive(self, message: Any) -> None:
        """`Due` is the only message."""
        match message:
            case Due():
                self.actor_inbox.deadline = time.monotonic() + self._go_round()

    def _go_round(self) -> float:
        full = self._is_full()
        history = self._retention
        if full:
            shrunk = RETENTION_WHEN_FULL / _SHRINKS_BY ** min(self._full_rounds, _MOST_SHRINKING)
            history = min(history, shrunk)
        self._full_rounds = self._full_rounds + 1 if full else 0
        now = self._around.clock()
        more = False
        for entry in self._around.directory.entries():
            self._expire(entry, now - self._retention)
            more = self._sweep(entry, now - history) or more
            if full:
                # Only what a saved snapshot covers can be removed, in the next round then.
                self._around.directory.tell(entry.id, SaveSnapshot())
        return min(PERIOD_WHEN_FULL if full or more else PERIOD, self._retention)

    def _is_full(self) -> bool:
        refusal = self._admission.refusal
        return refusal is not None and refusal.reason == "journal_full"

    def _expire(self, entry: QueueEntry, before: float) -> None:
        if any(letter.died_at < before for letter in list(entry.state.dead.values())):
            perform = Perform(ExpireDeadLetters(before), _ignore)
            self._around.supervisor().tell(Route(entry.routing_key, perform))

    def _sweep(self, entry: QueueEntry, before: float) -> bool:
        """True if there is more to remove than one batch takes."""
        journal, state = self._around.journal, entry.state
        count = state.counters.delivered + state.counters.discarded
        earlier = self._in_vain.pop(entry.id, None)
        if earlier is not None and earlier.ended == count and earlier.left_out < earlier.pause:
            self._in_vain[entry.id] = earlier._replace(left_out=earlier.left_out + 1)
            return False
        ended, read = ended_before(journal, entry.id, before, _BATCH, {*state.waiting, *state.dead})
        if read > _MUCH and not ended:
            again = earlier is not None and earlier.ended == count
            pause = min(_LONGEST_PAUSE, 2 * earlier.pause) if earlier and again else 1
            self._in_vain[entry.id] = _InVain(count, pause, 0)
        self._remove(ended)
        head = next(iter(list(state.waiting.values())[:1]), None)
        if head is not None and head.attempts > 2 * _ATTEMPTS_KEPT:
            self._remove(middle_attempts(journal, entry.id, head.id, _ATTEMPTS_KEPT))
        return len(ended) >= _BATCH

    def _remove(self, entries: list[Entry]) -> None:
        if entries:
            with contextlib.suppress(pykka.ActorDeadError):  # then its successor, in the next round
                self._around.writer().tell(Remove(entries))


def _ignore(answer: Answer) -> None:
    """Nobody waits for the answer: what happened stands in the journal."""
