"""A journal of version 1 is converted where it lies, whenever the agent is killed meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import lmdb
import pytest

from actors.salvage import salvage
from actors.verification import verify
from store import codec, version_1
from store.conversion import convert
from store.errors import CommitFailedError, JournalDamagedError
from store.inspection.compaction import compact
from store.inspection.journal_file import JournalFile
from store.lmdb_journal import LmdbJournal
from store.records import RoutingKey
from tests.lived_journal import LIMIT, live
from tests.store.sample_records import FIRST, accepted, commit, everything_in, scanned
from tests.store.small_disk import no_more_writes
from tests.version_1_journal import make_version_1


def content_of(directory: Path) -> dict[str, object]:
    journal = LmdbJournal(directory, limit=LIMIT)
    try:
        return everything_in(journal) | {"entries in all": journal.usage().entries}
    finally:
        journal.close()


@pytest.fixture(params=[False, True], ids=["whole", "after retention"])
def before(request: pytest.FixtureRequest, directory: Path) -> dict[str, object]:
    """What is in the journal in `directory`, which is one of version 1."""
    live(directory, retention=request.param)
    content = content_of(directory)
    make_version_1(directory)
    return content


def stop_after(directory: Path, commits: int, piece: int) -> int:
    """Convert as far as a process that is killed after so many commits; returns what is left."""
    env = lmdb.open(str(directory), max_dbs=6, map_size=LIMIT)
    left = list(islice(convert(env, directory, piece), commits))
    env.close()
    return left[-1]


def test_all_that_was_in_it_is_there(directory: Path, before: dict[str, object]) -> None:
    assert content_of(directory) == before
    with JournalFile(directory) as file:
        assert file.meta[b"format"] == b"2"
        assert list(file.by_queue()) == []
    assert verify(directory).damage == []


@pytest.mark.parametrize("commits", [1, 2, 7, 1000])
def test_a_conversion_that_was_cut_off_is_finished_by_the_next_start(
    directory: Path, before: dict[str, object], tmp_path: Path, commits: int
) -> None:
    left = stop_after(directory, commits, 20)
    assert (left == 0) == (commits == 1000)
    with JournalFile(directory) as file:
        assert file.meta[b"format"] == b"2", "no older program opens it"
    found = verify(directory)
    assert found.damage == []
    assert compact(directory)[1]
    saved = salvage(directory, tmp_path / "salvaged")
    assert (saved.damage, saved.left_out, saved.records) == ([], 0, found.records)
    assert content_of(tmp_path / "salvaged")["entries"] == before["entries"]
    if left:
        stop_after(directory, 2, 30)
    assert content_of(directory) == before


def test_numbers_go_on(directory: Path) -> None:
    journal = LmdbJournal(directory, limit=LIMIT)
    commit(journal, FIRST, accepted("e1"), accepted("e2", position=2))
    journal.remove(list(scanned(journal)))
    journal.close()
    make_version_1(directory)
    journal = LmdbJournal(directory, limit=LIMIT)
    assert commit(journal, FIRST, accepted("e3", position=3)) == 3
    journal.close()


def spoil_a_record(txn: lmdb.Transaction, journal: object, by_queue: object) -> None:
    value = bytearray(txn.get(codec.key_of(7), db=journal))
    value[-1] ^= 1
    txn.put(codec.key_of(7), bytes(value), db=journal)


def lose_a_record(txn: lmdb.Transaction, journal: object, by_queue: object) -> None:
    txn.delete(codec.key_of(7), db=journal)


def lose_a_row_of_the_index(txn: lmdb.Transaction, journal: object, by_queue: object) -> None:
    cursor = txn.cursor(by_queue)
    cursor.first()
    cursor.delete()


Harm = Callable[[lmdb.Transaction, object, object], None]


@pytest.mark.parametrize(
    ("harm", "told", "listed"),
    [
        (spoil_a_record, "record 7 of .*checksum", "record 7: its checksum"),
        (lose_a_record, "record 7 of .*index names it", "record 7: it is missing"),
        (lose_a_row_of_the_index, "index by queue does not fit", "does not name it"),
    ],
)
def test_damage_is_named_and_nothing_is_changed(
    directory: Path, tmp_path: Path, harm: Harm, told: str, listed: str
) -> None:
    live(directory)
    make_version_1(directory)
    stop_after(directory, 3, 5)  # also what is half converted
    env = lmdb.open(str(directory), max_dbs=6, map_size=LIMIT)
    journal, by_queue = env.open_db(b"journal"), env.open_db(version_1.BY_QUEUE)
    with env.begin(write=True) as txn:
        harm(txn, journal, by_queue)
    env.close()
    data = (directory / "data.mdb").read_bytes()
    with pytest.raises(JournalDamagedError, match=told):
        LmdbJournal(directory, limit=LIMIT)
    assert (directory / "data.mdb").read_bytes() == data
    assert any(listed in str(damage) for damage in verify(directory).damage)
    salvage(directory, tmp_path / "salvaged")
    assert verify(tmp_path / "salvaged").damage == []


def test_a_disk_that_takes_no_write_stops_the_start_and_loses_nothing(
    directory: Path, before: dict[str, object]
) -> None:
    with no_more_writes(), pytest.raises(CommitFailedError, match="make room on its disk"):
        LmdbJournal(directory, limit=LIMIT)
    assert content_of(directory) == before


def test_a_journal_whose_limit_it_fills_is_converted(directory: Path) -> None:
    journal = LmdbJournal(directory, limit=4 << 20)
    for number in range(900):
        event = accepted(f"e{number}", position=number + 1, body=bytes(4_500))
        commit(journal, FIRST, event)
    journal.close()
    make_version_1(directory)
    journal = LmdbJournal(directory, limit=4 << 20)
    assert journal.usage().entries == 900
    assert journal.queues() == {FIRST: RoutingKey("first-routing-key")}
    journal.close()
