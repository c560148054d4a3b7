"""The lease of a relay's log: who may deliver, and when another one takes over.

The lease is one row in a table that changes by compare-and-set. Its owner writes it again and
again. A challenger that sees the same row for long enough overwrites it.

Two processes never both hold the lease: an owner counts `VALID` from the moment at which its last
successful write began, so before any challenger can see that write, and a challenger waits
`PATIENCE` after it first saw it. That also holds where clocks go wrong by a fifth. Who owns it does
not change while the engine is down, because a challenger counts only time in which it answers.

Pure: time enters as `now`, in seconds of a clock that goes on while the process is stopped.
"""

from __future__ import annotations

import math

import msgspec

RENEW_EVERY = 1.0
"""Seconds between two writes of the owner, and between two reads of a challenger."""

VALID = 4.0
"""Seconds for which the owner may deliver after a successful write began."""

PATIENCE = 6.0
"""Seconds, in which the engine answered, that a challenger sees the same row before it takes it."""

LONGEST_LOOK = 1.5
"""Seconds that count at most between two answers: in more, the engine may have been down."""

LONGEST_SILENCE = 2.0
"""Seconds without answers that count all the same, once for a row: the owner needs less than the
rest of `PATIENCE` to write again when the engine answers, and its last write is older."""

FREE = ""
"""The owner in a row of a lease that was given up."""


class ReadLease(msgspec.Struct, frozen=True):
    """Read the row, then call `Lease.seen`, `unanswered` if that fails."""


class WriteLease(msgspec.Struct, frozen=True):
    """Write the row if its revision is `expected` (0: it is not there), then call `Lease.written`.

    `Lease.refused` if it has another revision, `unanswered` if that fails.
    """

    expected: int


class Lease:
    """The lease as one process sees it.

    `me` is the process's own name for the row: no other process, and no earlier one of this relay,
    has the same. `free_from` is when it may take a free lease; once it has seen another owner, it
    may at any time. Until `may_take` is set it only looks on. `lost` says that another process has
    taken the lease from this one. A lease of `before`, a process that has ended for certain, is
    free.
    """

    def __init__(
        self, me: str, *, free_from: float = -math.inf, may_take: bool = True, before: str = FREE
    ) -> None:
        self.may_take = may_take
        self._me = me
        self._before = before
        self._free_from = free_from
        self.lost = False
        self._began = 0.0
        self._valid_from: float | None = None
        self._revision = 0
        self._expected: int | None = None
        self._waited = 0.0
        self._answered: float | None = None
        self._seen_at = 0.0
        self._silence = LONGEST_SILENCE

    @property
    def owned(self) -> bool:
        """Whether it is this process's until another takes it, also while it may not deliver."""
        return self._valid_from is not None and not self.lost

    @property
    def writes(self) -> bool:
        """Whether the next step is a write."""
        return self._expected is not None

    def holds(self, now: float) -> bool:
        """Whether a delivery may begin."""
        valid_from = self._valid_from
        return valid_from is not None and not self.lost and now - valid_from < VALID

    def next(self, now: float) -> ReadLease | WriteLease:
        """What to do now: one step, whose end is told before the next one."""
        self._began = now
        return ReadLease() if self._expected is None else WriteLease(self._expected)

    def written(self, revision: int) -> None:
        """The row is this process's and has this revision."""
        self._valid_from = self._began
        self._expected = self._revision = revision

    def refused(self) -> None:
        """The row has another revision than was expected: it must be read."""
        self._expected = None

    def unanswered(self) -> None:
        """The engine did not answer. A write may have been done, or may be done later."""
        self._expected = self._answered = None

    def seen(self, owner: str, revision: int, now: float) -> None:
        """The row was read: its owner and revision, `FREE` and 0 if there is none."""
        if 0 < revision < self._revision:
            return  # the answer of a node that lags behind
        if owner == self._me or (self.owned and not revision):
            self._expected = revision
        elif self.owned:
            self.lost = True
        elif self._is_to_be_had(owner, revision, now) and self.may_take:
            self._expected = revision
        self._revision, self._answered, self._seen_at = revision, now, now

    def give_up(self) -> int | None:
        """No delivery begins from here on; the revision at which to write `FREE`, if it is known.

        No other step may follow.
        """
        expected = self._expected if self.owned else None
        self._valid_from = None
        return expected

    def _is_to_be_had(self, owner: str, revision: int, now: float) -> bool:
        if owner in (FREE, self._before):
            return now >= self._free_from
        self._free_from = -math.inf
        return self._has_waited(revision, now)

    def _has_waited(self, revision: int, now: float) -> bool:
        if revision != self._revision:
            self._waited, self._silence = 0.0, LONGEST_SILENCE
        elif self._answered is not None:
            self._waited += min(now - self._answered, LONGEST_LOOK)
        else:
            counts = min(now - self._seen_at, self._silence)
            self._silence -= counts
            self._waited += counts
        return self._waited >= PATIENCE
