"""The journal of a relay: the log of an engine is the truth, a copy of it in LMDB is read.

A commit is appended to the log first, under the number of the last message that this process knows.
So the log takes it only if no other process has written meanwhile. Then it is written to the copy.
All copies apply the same changes in the same order, so all give the same numbers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby

from store.errors import CommitFailedError, JournalBehindError, JournalError, JournalFencedError
from store.follower import Follower
from store.lmdb_copy import LmdbCopy
from store.log import Log, LogConflictError, LogTrimmedError, LogUnavailableError
from store.log_cleaning import OldestChanges
from store.log_writer import LogWriter
from store.port import Append
from store.records import Entry, QueueId
from store.replication import Alteration, Barrier, Removed, TakenOver

_MIB = 1 << 20
_LOOK = 0.5  # seconds


class ReplicatedJournal:
    """A `store.port.Journal` over a log that is shared with other processes.

    First a standby, which can only be read and `follow`s the log; the owner of the log from
    `take_over` on. `owner` is the name that other relays show. `on_fenced` is called once, in the
    thread that finds out, when another process has become the owner; it must not block. The log is
    left open by `close`.

    `patience` (seconds): a commit that the engine does not confirm for so long fails.
    """

    def __init__(
        self,
        copy: LmdbCopy,
        log: Log,
        owner: str,
        *,
        on_fenced: Callable[[], None] = lambda: None,
        patience: float = 5.0,
    ) -> None:
        self.agent_id = log.identity
        self._copy = copy
        self._log = log
        self._owner = owner
        self._on_fenced = on_fenced
        self._writer = LogWriter(log, patience)
        self._follower = Follower(copy, log)
        self._oldest = OldestChanges(log)
        self._cleaned_last = False
        self._fenced: JournalFencedError | None = None
        self._lock = threading.RLock()
        # The copy serves all reads.
        self.admit, self.usage = copy.admit, copy.usage
        self.queues, self.forgotten, self.snapshot = copy.queues, copy.forgotten, copy.snapshot
        self.entries, self.scan, self.backwards = copy.entries, copy.scan, copy.backwards
        self.accepted, self.history = copy.accepted, copy.history
        self.find_events = copy.find_events

    @property
    def fenced(self) -> bool:
        """Whether another process has become the owner after this one."""
        return self._fenced is not None

    @property
    def applied(self) -> int:
        """The number of the last message of the log that is taken into account."""
        return self._follower.seq

    def lag(self) -> int:
        """How many messages of the log are not applied yet. Raises `LogUnavailableError`."""
        return max(0, self._log.bounds()[1] - self._follower.seq)

    def commit(self, batch: Sequence[Append]) -> int:
        """As `store.port.Journal.commit`; also raises `JournalFencedError`.

        It is stored on most nodes of the engine when this returns.
        """
        with self._writing():
            change = self._copy.change_of(batch)
            self._publish(change, change)
            return change.newest

    def remove(self, entries: Iterable[Entry]) -> None:
        """As `store.port.Journal.remove`; also raises `JournalFencedError`."""
        places = sorted((entry.queue, entry.seq) for entry in entries)
        numbers: list[tuple[QueueId, list[int]]] = [
            (queue, [seq for _, seq in of_queue])
            for queue, of_queue in groupby(places, key=lambda place: place[0])
        ]
        with self._writing():
            change = Removed(numbers)
            self._publish(change, change)

    def recover(self) -> None:
        """As `store.port.Journal.recover`; also raises `JournalFencedError`.

        What the log took in spite of the failure is applied to the copy. A barrier makes sure that
        it takes nothing of it later.
        """
        with self._noticing():
            self._copy.recover()
            self._follower.resume()
            self._follower.catch_up()
            if self._follower.owns:
                self._append_behind_all(Barrier())

    def follow(self, wait: float = 0.0) -> int:
        """Apply what the log has more than the copy, and return how many messages that were.

        If there are none, waits for one for up to `wait` seconds. Fills the copy anew if it is
        empty, or older than the oldest message. Raises `JournalForeignError` if it is of another
        log, or has more than the log; `LogUnavailableError`; `CommitFailedError` if the copy can't
        be written; `LogDamagedError` and `LogNewerError`.
        """
        with self._noticing():
            if not self._follower.is_sound:
                self._copy.recover()
                self._follower.resume()
            return self._follower.catch_up(wait)

    def take_over(self) -> None:
        """Apply all of the log and become its owner: nothing of an earlier owner gets in any more.

        Raises as `follow`.
        """
        with self._noticing():
            self.follow()
            self._append_behind_all(TakenOver(self._owner))
            self._follower.own(self._writer.id)

    def clean(self, *, spare: int = 64 * _MIB, step: int = _MIB // 4) -> bool:
        """Make room in the log if it has twice what the copy uses and `spare` bytes more.

        One call passes over about `step` bytes of the oldest messages: what is still needed of them
        is appended again, then they are trimmed. So the log always suffices to fill an empty copy,
        and commits wait for some milliseconds only. Returns whether to call it again soon. Does
        nothing unless this process is the owner. For one thread; raises as `commit`, and
        `LogUnavailableError`.
        """
        if not self._follower.owns or self._log.size() <= 2 * self.usage().used + spare:
            return False
        try:
            old = self._oldest.take(step)
        except LogTrimmedError:
            return False  # another owner does it
        if not old:
            return False
        try:
            with self._writing():
                self._cleaned_last = True
                self._publish(self._copy.still_needed(whole.change for whole in old))
        except BaseException:
            self._oldest.restart()  # what is passed over is trimmed with what follows
            raise
        self._log.trim(old[-1].seq)
        return True

    def close(self) -> None:
        """As `store.port.Journal.close`, for the copy."""
        self._copy.close()

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        """For one thread at a time, until another process has become the owner."""
        with self._lock:
            if self._fenced is not None:
                raise self._fenced
            try:
                yield
            except JournalFencedError as error:
                if self._fenced is None:
                    self._fenced = error
                    self._on_fenced()
                raise

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._noticing():
            if not self._follower.owns:
                raise JournalBehindError("this relay is a standby: only the log's owner writes")
            if not self._follower.is_sound:
                self._settle_cleaning()
            self._cleaned_last = False
            yield

    def _settle_cleaning(self) -> None:
        """Recover from a cleaning that failed, of which the caller of `commit` knows nothing."""
        if not self._cleaned_last:
            raise JournalBehindError("the copy of the log must catch up after a failed commit")
        try:
            self.recover()
        except CommitFailedError:
            raise
        except JournalError as error:
            raise JournalBehindError(str(error)) from error

    def _publish(self, change: Alteration, *effects: Alteration) -> None:
        """Append a change to the log, then write its effects to the copy.

        Raises `CommitFailedError` for whatever fails: then only `recover` helps.
        """
        self._follower.is_sound = False
        try:
            position = self._writer.append(change, self._follower.seq)
            self._follower.appended(position.seq)
            self._copy.apply(effects, position)
        except LogConflictError:
            with suppress(LogUnavailableError):
                self._follower.catch_up()  # raises if it is another owner's
            raise JournalBehindError("a late message of this relay came in between") from None
        except CommitFailedError:
            raise
        except JournalError as error:
            raise CommitFailedError(str(error)) from error
        self._follower.is_sound = True

    def _append_behind_all(self, change: Alteration) -> None:
        self._follower.is_sound = False
        while True:
            try:
                position = self._writer.append(change, self._follower.seq)
            except LogConflictError:
                self._follower.catch_up(_LOOK)
            else:
                self._follower.appended(position.seq)
                self._follower.is_sound = True
                return
