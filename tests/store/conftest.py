"""Journals to test, closed at the end of each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store.lmdb_copy import LmdbCopy
from store.lmdb_journal import LmdbJournal
from store.memory_log import MemoryEngine, MemoryLog
from store.port import Journal
from store.replicated_journal import ReplicatedJournal
from tests.memory_journal import MemoryJournal

LIMIT = 64 << 20


class Shelf:
    """One journal that can be put away and opened again, as a new process would.

    With an engine, it is the journal of a relay that owns the log.
    """

    def __init__(
        self, directory: Path | None, limit: int, engine: MemoryEngine | None = None
    ) -> None:
        self._directory = directory
        self._limit = limit
        self._engine = engine
        self.journal: Journal = self._open()

    def reopened(self) -> Journal:
        """The journal after a stop and a start; what was in memory only is gone."""
        if self._directory is not None:
            self.journal.close()
            self.journal = self._open()
        return self.journal

    def before_and_after_a_restart(self) -> Iterator[Journal]:
        """The journal as it is, then opened again."""
        yield self.journal
        yield self.reopened()

    def _open(self) -> Journal:
        if self._directory is None:
            return MemoryJournal(limit=self._limit)
        if self._engine is None:
            return LmdbJournal(self._directory, limit=self._limit)
        copy = LmdbCopy(self._directory, limit=self._limit)
        journal = ReplicatedJournal(copy, MemoryLog(self._engine), "relay")
        journal.take_over()
        return journal


@pytest.fixture(params=["memory", "lmdb", "replicated"])
def make_shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[int], Shelf]]:
    """Makes the shelf for a journal with a limit in bytes, once for each kind of journal."""
    shelves: list[Shelf] = []

    def make(limit: int) -> Shelf:
        directory = None if request.param == "memory" else tmp_path / "journal"
        engine = MemoryEngine() if request.param == "replicated" else None
        shelves.append(Shelf(directory, limit, engine))
        return shelves[-1]

    yield make
    for shelf in shelves:
        shelf.journal.close()


@pytest.fixture
def shelf(make_shelf: Callable[[int], Shelf]) -> Shelf:
    """A journal with plenty of room."""
    return make_shelf(LIMIT)


@pytest.fixture
def journal(shelf: Shelf) -> Journal:
    """The journal on `shelf`, for tests that don't open it again."""
    return shelf.journal


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where an LMDB journal may be made."""
    return tmp_path / "journal"


@pytest.fixture
def open_lmdb(directory: Path) -> Iterator[Callable[[], LmdbJournal]]:
    """Opens the LMDB journal in `directory`; all are closed at the end."""
    opened: list[LmdbJournal] = []

    def make() -> LmdbJournal:
        opened.append(LmdbJournal(directory, limit=LIMIT))
        return opened[-1]

    yield make
    for journal in opened:
        journal.close()
