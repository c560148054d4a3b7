"""Relays on one log: each has a copy in a directory of its own, and opens it again as it likes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb

from store.lmdb_copy import LmdbCopy
from store.log import Log
from store.memory_log import MemoryEngine, MemoryLog
from store.replicated_journal import ReplicatedJournal
from tests.store.sample_records import everything_in

LIMIT = 64 << 20
NOT_COMPARED = (b"recovered", b"log")
"""Rows of `meta` that differ between copies: how far they are is seen from the others."""


class Relay:
    """One relay; `log` is its handle on the log, `fencings` counts how often it was told."""

    def __init__(self, directory: Path, name: str, log: Log, patience: float) -> None:
        self.directory = directory
        self.name = name
        self.log = log
        self.fencings = 0
        self._patience = patience
        self.journal = self._open()

    def _open(self) -> ReplicatedJournal:
        copy = LmdbCopy(self.directory, limit=LIMIT)
        try:
            return ReplicatedJournal(
                copy, self.log, self.name, on_fenced=self._fenced, patience=self._patience
            )
        except BaseException:
            copy.close()
            raise

    def _fenced(self) -> None:
        self.fencings += 1

    def reopened(self) -> ReplicatedJournal:
        """The journal as a new process finds it, as a standby."""
        self.journal.close()
        self.journal = self._open()
        return self.journal

    def rows(self) -> dict[str, list[tuple[bytes, bytes]]]:
        """All rows of its copy, which is closed and opened again for this."""
        self.journal.close()
        try:
            with lmdb.open(str(self.directory), max_dbs=8, readonly=True) as env:
                with env.begin() as txn:
                    names = list(txn.cursor().iternext(values=False))
                found = {}
                for name in names:
                    with env.begin(db=env.open_db(name, create=False)) as txn:
                        found[name.decode()] = list(txn.cursor())
        finally:
            self.journal = self._open()
        found["meta"] = [row for row in found["meta"] if row[0] not in NOT_COMPARED]
        return found


class Relays:
    """Makes relays on one log, in memory or that of `open_log`; closes all of them."""

    def __init__(self, directory: Path, open_log: Callable[[], Log] | None = None) -> None:
        self.engine = MemoryEngine()
        self._directory = directory
        self._open_log = open_log or (lambda: MemoryLog(self.engine))
        self._relays: list[Relay] = []

    def relay(self, name: str, *, log: Log | None = None, patience: float = 0.3) -> Relay:
        """A new relay with an empty copy. It gives up a commit after `patience` seconds."""
        directory = self._directory / name
        self._relays.append(Relay(directory, name, log or self._open_log(), patience))
        return self._relays[-1]

    def owner(self, name: str, *, log: Log | None = None, patience: float = 0.3) -> Relay:
        """A new relay that has taken over."""
        relay = self.relay(name, log=log, patience=patience)
        relay.journal.take_over()
        return relay

    def content_of_log(self) -> dict[str, Any]:
        """What an empty copy makes of the log."""
        relay = self.relay(f"reader {len(self._relays)}")
        relay.journal.follow()
        return all_of(relay.journal)

    def close(self) -> None:
        """Close all copies and handles."""
        for relay in self._relays:
            relay.journal.close()
            relay.log.close()


def all_of(journal: ReplicatedJournal) -> dict[str, Any]:
    """All that a journal tells; reading it checks counts and index."""
    return everything_in(journal) | {
        "forgotten": journal.forgotten(),
        "entries in all": journal.usage().entries,
        "backwards": list(journal.backwards()),
    }
