"""One process a journal; a dead one's traces never stop the next."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from store.errors import JournalLockedError
from store.lmdb_journal import LmdbJournal
from store.lock import JournalLock
from tests.store.conftest import LIMIT
from tests.store.processes import holding
from tests.store.sample_records import everything_in

Open = Callable[[], LmdbJournal]


def test_a_second_process_is_refused_with_the_pid_of_the_first(directory: Path) -> None:
    with holding(directory) as holder, pytest.raises(JournalLockedError) as refused:
        LmdbJournal(directory, limit=LIMIT)

    assert refused.value.pid == holder.pid
    assert f"in use by process {holder.pid}" in str(refused.value)
    assert "server stop" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_second_opening_in_the_same_process_is_refused_too(
    directory: Path, open_lmdb: Open
) -> None:
    open_lmdb()
    with pytest.raises(JournalLockedError) as refused:
        LmdbJournal(directory, limit=LIMIT)
    assert refused.value.pid == os.getpid()


def test_being_refused_takes_nothing_from_the_holder(directory: Path, open_lmdb: Open) -> None:
    journal = open_lmdb()
    for _ in range(2):
        with pytest.raises(JournalLockedError):
            LmdbJournal(directory, limit=LIMIT)
    assert everything_in(journal)["entries"] == []


def test_the_lock_of_a_killed_process_is_harmless_and_its_commits_are_there(
    directory: Path, open_lmdb: Open
) -> None:
    with holding(directory, commits=5) as holder:
        pass
    assert str(holder.pid) in (directory / "agent.lock").read_text()

    journal = open_lmdb()
    assert journal.find_events("", 10) == [f"held-{number}" for number in range(5)]
    assert (directory / "agent.lock").read_text().strip() == str(os.getpid())


@pytest.mark.parametrize("left_over", [b"", b"4711", b"not a pid at all, but much longer than one"])
def test_a_lock_file_with_anything_in_it_is_harmless(
    directory: Path, open_lmdb: Open, left_over: bytes
) -> None:
    directory.mkdir(mode=0o700)
    (directory / "agent.lock").write_bytes(left_over)
    open_lmdb()
    with pytest.raises(JournalLockedError) as refused:
        LmdbJournal(directory, limit=LIMIT)
    assert refused.value.pid == os.getpid()


def test_a_holder_whose_pid_cannot_be_read_is_another_process(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    lock = JournalLock(directory)
    (directory / "agent.lock").write_text("?")
    with pytest.raises(JournalLockedError, match="in use by another process") as refused:
        LmdbJournal(directory, limit=LIMIT)
    assert refused.value.pid is None
    lock.release()


def test_closing_gives_the_journal_back(directory: Path, open_lmdb: Open) -> None:
    open_lmdb().close()
    open_lmdb().close()


def test_a_failed_opening_gives_the_lock_back(directory: Path, open_lmdb: Open) -> None:
    directory.mkdir(mode=0o700)
    (directory / "data.mdb").mkdir()
    for _ in range(2):
        with pytest.raises(Exception, match="can't be opened"):
            LmdbJournal(directory, limit=LIMIT)
    (directory / "data.mdb").rmdir()
    open_lmdb()
