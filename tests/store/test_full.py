"""No room, or no working disk: new events are refused, what was accepted goes on.

A journal is full at its own limit, on a full disk, and, at the very end of its reserve, for good.
Every time it goes on in the same process once there is room again.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.errors import CommitFailedError, JournalError, JournalFullError, JournalUnavailableError
from store.lmdb_journal import LmdbJournal
from tests.store.conftest import LIMIT
from tests.store.sample_records import (
    FIRST,
    accepted,
    append,
    commit,
    delivered,
    everything_in,
    scanned,
    seqs_of,
    started,
)
from tests.store.small_disk import SmallDisk, no_more_writes, small_disk

MIB = 1 << 20
RESERVE_MB = 16


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 2 * RESERVE_MB + 12) as mounted:
        yield mounted


def fill_by_accepting(journal: LmdbJournal, words: str, body: bytes = bytes(20_000)) -> int:
    """Accept events until the journal refuses with these words; return how many it took."""
    count = 0
    with pytest.raises(JournalFullError, match=words):
        while True:
            journal.admit()
            commit(journal, FIRST, accepted(f"e{count}", body=body))
            count += 1
    return count


def record_deliveries(journal: LmdbJournal, count: int, attempts: int = 1) -> None:
    """Record the delivery of so many events, each after so many attempts."""
    for number in range(count):
        for attempt in range(1, attempts + 1):
            commit(journal, FIRST, started(f"e{number}", attempt=attempt))
        commit(journal, FIRST, delivered(f"e{number}"))


def test_at_its_limit_it_takes_no_new_event_but_every_record_about_those_it_has(
    directory: Path,
) -> None:
    journal = LmdbJournal(directory, limit=4 * MIB)
    count = fill_by_accepting(journal, r"full \(4 MB, max_journal_mb\)")
    record_deliveries(journal, count, attempts=10)
    assert len(seqs_of(scanned(journal))) == 12 * count
    with pytest.raises(JournalFullError):
        journal.admit()
    journal.close()


def test_a_limit_made_smaller_than_what_is_there_refuses_no_start(directory: Path) -> None:
    journal = LmdbJournal(directory, limit=8 * MIB)
    count = fill_by_accepting(journal, "full")
    before = everything_in(journal)
    journal.close()

    journal = LmdbJournal(directory, limit=MIB)
    assert everything_in(journal) == before
    record_deliveries(journal, count)
    with pytest.raises(JournalFullError):
        journal.admit()
    journal.remove(list(scanned(journal)))
    journal.admit()
    journal.close()


def test_when_even_the_reserve_of_the_map_is_used_up_a_commit_fails_and_loses_nothing(
    directory: Path,
) -> None:
    journal = LmdbJournal(directory, limit=MIB)
    written = 0
    with pytest.raises(CommitFailedError, match="MAP_FULL"):
        while True:
            commit(journal, FIRST, accepted(f"e{written}", body=bytes(MIB)))
            written += 1
    assert written * MIB > MIB + MIB // 2
    assert seqs_of(scanned(journal)) == list(range(1, written + 1))

    journal.recover()
    journal.remove(list(itertools.islice(scanned(journal), written // 2)))
    journal.recover()  # LMDB gives out what one transaction has freed from the next but one on
    assert commit(journal, FIRST, accepted("later", body=bytes(MIB))) == written + 1
    journal.close()


def test_on_a_full_disk_nothing_is_accepted_but_deliveries_are_recorded(disk: SmallDisk) -> None:
    disk.take(RESERVE_MB)
    journal = LmdbJournal(disk.path / "journal", limit=1 << 30)
    count = fill_by_accepting(
        journal,
        r"has no room \(No space left on device\): 16 MB beyond what is used are kept for records "
        r"of deliveries, free at least \d+ MB \('pagerduty-agent help full-disk'\)",
    )
    assert count > 100
    disk.fill()
    record_deliveries(journal, count, attempts=3)
    with pytest.raises(JournalFullError, match="No space left"):
        journal.admit()

    disk.free()
    journal.admit()
    commit(journal, FIRST, accepted("later"))
    journal.close()
    journal = LmdbJournal(disk.path / "journal", limit=1 << 30)
    assert len(seqs_of(scanned(journal))) == 5 * count + 1
    journal.close()


def test_freeing_what_a_full_disk_asks_for_is_enough_and_a_megabyte_less_is_not(
    disk: SmallDisk,
) -> None:
    disk.take(RESERVE_MB)
    journal = LmdbJournal(disk.path / "journal", limit=1 << 30)
    fill_by_accepting(journal, "has no room")
    with pytest.raises(JournalFullError) as caught:
        journal.admit()
    [asked] = re.findall(r"free at least (\d+) MB", str(caught.value))
    disk.free()
    disk.take(RESERVE_MB - int(asked) + 1)
    with pytest.raises(JournalFullError):
        journal.admit()
    disk.free()
    disk.take(RESERVE_MB - int(asked))
    journal.admit()
    journal.close()


def test_a_full_disk_stops_no_start_and_deliveries_are_recorded(disk: SmallDisk) -> None:
    journal = LmdbJournal(disk.path / "journal", limit=1 << 30)
    count = fill_by_accepting(journal, "No space left")
    before = everything_in(journal)
    journal.close()
    disk.fill()

    journal = LmdbJournal(disk.path / "journal", limit=1 << 30)
    assert everything_in(journal) == before
    record_deliveries(journal, count)
    journal.close()


def test_a_new_journal_on_a_full_disk_is_refused_and_starts_once_there_is_room(
    disk: SmallDisk,
) -> None:
    disk.fill()
    with pytest.raises(JournalUnavailableError, match="No space left"):
        LmdbJournal(disk.path / "journal", limit=LIMIT)
    disk.free()
    journal = LmdbJournal(disk.path / "journal", limit=LIMIT)
    commit(journal, FIRST, accepted("e1"))
    journal.close()


def test_when_the_disk_takes_not_one_block_more_commits_fail_until_room_returns(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", 2) as disk:
        journal = LmdbJournal(disk.path / "journal", limit=LIMIT)
        commit(journal, FIRST, accepted("e1"))
        disk.fill()
        written = 1
        with pytest.raises(CommitFailedError, match="No space left"):
            while True:
                commit(journal, FIRST, started("e1", attempt=written))
                written += 1
        assert len(seqs_of(scanned(journal))) == written

        disk.free()
        journal.recover()
        assert commit(journal, FIRST, delivered("e1")) == written + 1
        journal.close()
        journal = LmdbJournal(disk.path / "journal", limit=LIMIT)
        assert seqs_of(scanned(journal)) == list(range(1, written + 2))
        journal.close()


def test_a_disk_that_takes_no_write_fails_every_commit_and_is_recovered_from(
    directory: Path,
) -> None:
    journal = LmdbJournal(directory, limit=LIMIT)
    journal.commit([append(FIRST, accepted("e1"), snapshot=b"folded")])
    before = everything_in(journal)
    with no_more_writes():
        for _ in range(2):
            with pytest.raises(CommitFailedError):
                commit(journal, FIRST, started("e1"))
            with pytest.raises(CommitFailedError):
                journal.remove(list(scanned(journal)))
            with pytest.raises(JournalError):
                journal.recover()

    journal.recover()
    assert everything_in(journal) == before
    assert commit(journal, FIRST, started("e1")) == 2
    journal.close()


def test_recovering_may_fail_again_and_again_before_it_works(directory: Path) -> None:
    journal = LmdbJournal(directory, limit=LIMIT)
    commit(journal, FIRST, accepted("e1"))
    away = directory.with_name("unmounted")
    with no_more_writes():
        with pytest.raises(CommitFailedError):
            commit(journal, FIRST, started("e1"))
        directory.rename(away)
        for _ in range(3):
            with pytest.raises(JournalError):
                journal.recover()
            with pytest.raises(JournalError):
                commit(journal, FIRST, started("e1"))
            with pytest.raises(JournalError):
                list(scanned(journal))

    away.rename(directory)
    journal.recover()
    assert commit(journal, FIRST, started("e1")) == 2
    journal.close()


def test_closing_after_a_failed_recovery_raises_nothing(directory: Path) -> None:
    journal = LmdbJournal(directory, limit=LIMIT)
    with no_more_writes():
        with pytest.raises(CommitFailedError):
            commit(journal, FIRST, accepted("e1"))
        directory.rename(directory.with_name("unmounted"))
        with pytest.raises(JournalError):
            journal.recover()
    journal.close()
