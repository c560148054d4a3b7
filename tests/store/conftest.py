"""Journals to test, closed at the end of each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store.lmdb_journal import LmdbJournal
from store.port import Journal
from tests.memory_journal import MemoryJournal

LIMIT = 64 << 20


class Shelf:
    """One journal that can be put away and opened again, as a new process would."""

    def __init__(self, directory: Path | None, limit: int) -> None:
        self._directory = directory
        self._limit = limit
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
        return LmdbJournal(self._directory, limit=self._limit)


@pytest.fixture(params=["memory", "lmdb"])
def make_shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[int], Shelf]]:
    """Makes the shelf for a journal with a limit in bytes, once in memory and once in LMDB."""
    shelves: list[Shelf] = []

    def make(limit: int) -> Shelf:
        shelves.append(Shelf(tmp_path / "journal" if request.param == "lmdb" else None, limit))
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
