"""Keeps the lease, or waits for it: a thread that does what `actors.core.lease` says."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable

import msgspec

from actors.core.lease import FREE, RENEW_EVERY, Lease, ReadLease
from pdagent.relay.rows import LEASE, STANDBYS, RelayRow, row_in
from store.log import Log, LogConflictError, LogUnavailableError

logger = logging.getLogger(__name__)

_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # elsewhere than on Linux
_SHORTEST_PAUSE = 0.1  # seconds
_ENDED_WITHIN = 10.0  # seconds: one call that the engine does not answer


def boot_time() -> float:
    """Seconds of a clock that nobody sets, and that goes on while process or machine sleep."""
    return time.clock_gettime(_CLOCK)


class LeaseKeeper:
    """One relay's part in the lease, from its first look to its end.

    `me` is the relay's row; `before` is the process of its last run, see `Lease`; `standby` returns
    the row that is shown of it while it waits. It takes the lease only after `compete`, and a free
    one only from `free_from` (`boot_time`) on. `taken` is set when it has; `on_lost` is called
    once, in the keeper's thread, when another relay has taken the lease after that. `owner` is what
    the lease last said, `problem` why the engine last failed.
    """

    def __init__(
        self,
        log: Log,
        me: RelayRow,
        *,
        free_from: float,
        before: str,
        standby: Callable[[], RelayRow],
        on_lost: Callable[[], None],
    ) -> None:
        self.taken = threading.Event()
        self.owner = RelayRow()
        self.problem = ""
        self._log = log
        self._me = me
        self._lease = Lease(me.process, free_from=free_from, may_take=False, before=before)
        self._standby = standby
        self._on_lost = on_lost
        self._fenced = False
        self._silent_since: float | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def compete(self, *, may_take: bool = True) -> None:
        """Take the lease from here on when its rule allows it, or don't any more."""
        self._lease.may_take = may_take

    def holds(self) -> bool:
        """Whether a delivery may begin at this moment."""
        return self._lease.holds(boot_time()) and not self._fenced

    @property
    def owned(self) -> bool:
        """Whether the lease is this relay's, also while the engine does not let it be renewed."""
        return self._lease.owned and not self._fenced

    def silent_for(self) -> float:
        """For how many seconds the engine has not answered."""
        since = self._silent_since
        return 0.0 if since is None else boot_time() - since

    def fence(self) -> None:
        """Let no delivery begin any more: another relay owns the log."""
        self._fenced = True

    def give_up(self) -> None:
        """End; leave the lease free for another relay at once if it was this one's.

        Everything that was under way in the name of this relay has ended before.
        """
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(_ENDED_WITHIN)
        fenced = self._fenced or self._thread.is_alive()
        if (expected := self._lease.give_up()) is not None and not fenced:
            # What can't be written: another relay takes the lease when it has seen it long enough.
            with contextlib.suppress(LogUnavailableError, LogConflictError):
                self._log.put(LEASE, RelayRow(name=self._me.name).written(), expected)

    def _run(self) -> None:
        while not self._ending.is_set():
            began = boot_time()
            try:
                self._look()
            except LogConflictError:
                self._lease.refused()
                self._note_answer()
            except LogUnavailableError as error:
                self._lease.unanswered()
                self._note_silence(began, error)
            except Exception:
                logger.exception("the lease could not be looked at")
                self._lease.unanswered()
            else:
                self._note_answer()
            if self._lease.lost:
                self._on_lost()
                return
            self._ending.wait(max(_SHORTEST_PAUSE, began + RENEW_EVERY - boot_time()))

    def _look(self) -> None:
        """One step of the lease's rule; a write follows at once on the read that allows it."""
        lease = self._lease
        if not lease.owned:
            self._show_standby()  # fails if the engine takes no writes: an owner could not renew
        step = lease.next(boot_time())
        if isinstance(step, ReadLease):
            self._read()
            if not lease.writes or lease.lost:
                return
            step = lease.next(boot_time())
            assert not isinstance(step, ReadLease)
        row = msgspec.structs.replace(self._me, at=time.time())
        if not self.taken.is_set():
            row = self._me = msgspec.structs.replace(row, since=row.at)
        lease.written(self._log.put(LEASE, row.written(), step.expected))
        if lease.owned and not self.taken.is_set():
            self.owner = row
            self.taken.set()

    def _read(self) -> None:
        found = self._log.get(LEASE)
        row = row_in(found)
        self.owner = row
        revision = 0 if found is None else found.revision
        self._lease.seen(row.process or FREE, revision, boot_time())

    def _show_standby(self) -> None:
        row = self._standby()
        self._log.put(f"{STANDBYS}{row.name}", row.written())

    def _note_answer(self) -> None:
        if self._silent_since is not None:
            logger.warning("the engine answers again")
            self._silent_since = None

    def _note_silence(self, began: float, error: LogUnavailableError) -> None:
        if self._silent_since is None:
            self._silent_since = began
            self.problem = str(error)
            logger.warning("%s: who owns the log stays as it is meanwhile", error)
