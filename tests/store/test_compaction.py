"""`journal compact`: the same journal in less room, or the old one untouched."""

from __future__ import annotations

from pathlib import Path

import pytest

from store.errors import JournalDamagedError, JournalLockedError, JournalUnavailableError
from store.inspection.compaction import compact
from store.lmdb_journal import LmdbJournal
from tests.store.conftest import LIMIT
from tests.store.sample_records import FIRST, SECOND, accepted, append, commit, everything_in


@pytest.fixture
def shrunk(directory: Path) -> Path:
    """A journal of which most was removed again."""
    journal = LmdbJournal(directory, limit=LIMIT)
    for number in range(40):
        commit(journal, FIRST, accepted(f"e{number}", position=number + 1, body=b"x" * 40_000))
    commit(journal, SECOND, accepted("stays", body=b"y" * 40_000))
    journal.commit([append(FIRST, snapshot=b"state")])
    journal.remove(list(journal.entries(FIRST)))
    journal.close()
    return directory


def opened(directory: Path) -> dict[str, object]:
    journal = LmdbJournal(directory, limit=LIMIT)
    try:
        return everything_in(journal)
    finally:
        journal.close()


def names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_the_content_stays_and_the_room_comes_back(shrunk: Path) -> None:
    before, names = opened(shrunk), names_in(shrunk)
    (shrunk / "compacting").mkdir()  # of an earlier one that was cut off
    (shrunk / "compacting" / "data.mdb").write_bytes(b"half")
    used, left = compact(shrunk)
    assert left < 200_000 < used
    assert left == (shrunk / "data.mdb").stat().st_blocks * 512
    assert (shrunk / "data.mdb").stat().st_mode & 0o777 == 0o600
    assert names_in(shrunk) == names
    assert opened(shrunk) == before


def test_a_compacted_journal_goes_on_where_it_was(shrunk: Path) -> None:
    last = LmdbJournal(shrunk, limit=LIMIT)
    seq = commit(last, FIRST, accepted("before", position=41))
    last.close()
    compact(shrunk)
    journal = LmdbJournal(shrunk, limit=LIMIT)
    assert commit(journal, FIRST, accepted("after", position=42)) == seq + 1
    journal.close()


def test_a_journal_in_use_is_left_alone(shrunk: Path) -> None:
    journal = LmdbJournal(shrunk, limit=LIMIT)
    data = (shrunk / "data.mdb").stat()
    with pytest.raises(JournalLockedError):
        compact(shrunk)
    assert (shrunk / "data.mdb").stat().st_ino == data.st_ino
    journal.close()


def test_damage_is_refused_and_nothing_is_changed(shrunk: Path) -> None:
    data = shrunk / "data.mdb"
    content = bytearray(data.read_bytes())
    content[2 * 4096 :] = bytes(len(content) - 2 * 4096)  # all but the two pages at the beginning
    data.write_bytes(content)
    with pytest.raises(JournalDamagedError, match="is damaged"):
        compact(shrunk)
    assert data.read_bytes() == content
    assert "compacting" not in names_in(shrunk)


def test_a_damaged_record_is_refused_and_nothing_is_changed(shrunk: Path) -> None:
    data = shrunk / "data.mdb"
    content = data.read_bytes().replace(b"y" * 40_000, b"y" * 39_999 + b"z")
    data.write_bytes(content)
    with pytest.raises(JournalDamagedError, match=r"record \d+ of .* its checksum does not match"):
        compact(shrunk)
    assert data.read_bytes() == content
    assert "compacting" not in names_in(shrunk)


def test_a_damaged_snapshot_is_refused(shrunk: Path) -> None:
    data = shrunk / "data.mdb"
    data.write_bytes(data.read_bytes().replace(b"state", b"State"))
    with pytest.raises(JournalDamagedError, match="snapshot of queue 1: its checksum"):
        compact(shrunk)


def test_where_there_is_no_journal_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(JournalUnavailableError, match="there is no journal"):
        compact(tmp_path)
    assert names_in(tmp_path) == set()
