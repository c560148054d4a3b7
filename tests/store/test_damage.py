"""Damage is found, named and left as it is; nothing is skipped or deleted in silence."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import lmdb
import msgspec
import pytest

from actors.recovery import recover_all
from store import codec
from store.errors import JournalDamagedError, JournalError, JournalNewerError
from store.lmdb_journal import LmdbJournal
from store.records import EventId, QueueId
from tests.store.conftest import LIMIT
from tests.store.sample_records import (
    FIRST,
    SECOND,
    accepted,
    append,
    commit,
    delivered,
    everything_in,
    scanned,
    started,
)

Open = Callable[[], LmdbJournal]
MARK = b"the body of one record alone"


@pytest.fixture
def data(directory: Path) -> Path:
    """The data file of a journal with a few records; record 4's body holds `MARK`."""
    journal = LmdbJournal(directory, limit=LIMIT)
    commit(journal, FIRST, accepted("e1"), started("e1"), delivered("e1"))
    commit(journal, SECOND, accepted("e2", body=MARK))
    journal.commit([append(FIRST, accepted("e3"), snapshot=b"a snapshot to be damaged")])
    journal.close()
    return directory / "data.mdb"


def refused(directory: Path, words: str) -> JournalDamagedError:
    """Opening fails, says these words and what to do, and changes nothing."""
    before = {file.name: file.read_bytes() for file in directory.iterdir()}
    with pytest.raises(JournalDamagedError, match=words) as caught:
        LmdbJournal(directory, limit=LIMIT)
    assert "journal verify" in str(caught.value)
    assert "pagerduty-agent help damaged-journal" in str(caught.value)
    assert "\n" not in str(caught.value)
    after = {file.name: file.read_bytes() for file in directory.iterdir()}
    del before["agent.lock"], after["agent.lock"], before["lock.mdb"], after["lock.mdb"]
    assert after == before
    return caught.value


def flip(path: Path, text: bytes) -> None:
    """Change one bit in every place where `text` stands: old pages keep old copies."""
    content = path.read_bytes()
    assert text in content
    path.write_bytes(content.replace(text, bytes([text[0] ^ 1]) + text[1:]))


def in_lmdb(directory: Path, database: bytes, key: bytes, value: bytes) -> None:
    """Write past the journal, as a program of another version would."""
    env = lmdb.open(str(directory), max_dbs=6, map_size=LIMIT)
    with env.begin(write=True) as txn:
        txn.put(key, value, db=env.open_db(database, txn))
    env.close()


def test_a_flipped_bit_in_a_record_is_found_at_its_number(
    directory: Path, data: Path, open_lmdb: Open
) -> None:
    flip(data, MARK)
    journal = open_lmdb()
    scanning = scanned(journal)
    assert [next(scanning).seq for _ in range(4)] == [1, 2, 3, 5]  # of the first queue
    with pytest.raises(JournalDamagedError, match=r"record 4 .* checksum") as caught:
        next(scanning)
    assert caught.value.seq == 4

    for reading in (
        lambda: list(journal.entries(SECOND)),
        lambda: journal.accepted(EventId("e2")),
        lambda: list(scanned(journal)),
    ):
        with pytest.raises(JournalDamagedError, match="record 4 "):
            reading()
    assert len(list(journal.entries(FIRST))) == 4


def test_a_start_is_stopped_by_a_damaged_record_of_any_queue(directory: Path) -> None:
    journal = LmdbJournal(directory, limit=LIMIT)
    for number in range(20):
        commit(journal, QueueId(1 + number % 2), accepted(f"e{number}", body=b"body %d." % number))
    journal.close()
    flip(directory / "data.mdb", b"body 11.")

    journal = LmdbJournal(directory, limit=LIMIT)
    with pytest.raises(JournalDamagedError, match="record 12 "):
        recover_all(journal)
    journal.close()


def test_every_flipped_bit_of_a_records_body_is_found(directory: Path, data: Path) -> None:
    content = data.read_bytes()
    place = content.rindex(MARK)
    for offset in range(0, len(MARK), 5):
        damaged = bytearray(content)
        while (at := damaged.find(MARK)) >= 0:
            damaged[at + offset] ^= 0x10
        assert damaged[place : place + len(MARK)] != MARK
        data.write_bytes(damaged)
        reader = LmdbJournal(directory, limit=LIMIT)
        with pytest.raises(JournalDamagedError) as caught:
            list(scanned(reader))
        reader.close()
        assert caught.value.seq == 4


def test_a_damaged_snapshot_is_named_with_its_queue(
    directory: Path, data: Path, open_lmdb: Open
) -> None:
    flip(data, b"a snapshot to be damaged")
    journal = open_lmdb()
    with pytest.raises(JournalDamagedError, match="snapshot of queue 1: its checksum"):
        journal.snapshot(FIRST)


def test_a_record_with_an_unknown_tag_is_named_with_its_number(
    directory: Path, data: Path, open_lmdb: Open
) -> None:
    key, body = codec.queue_key(FIRST, 6), msgspec.msgpack.encode(["EventTranslated", "e1", 1.0])
    frame = struct.pack(">HII", 0, len(body), zlib.crc32(body, zlib.crc32(key)))
    in_lmdb(directory, b"journal", key, b"\x02" + frame + body)
    with pytest.raises(JournalDamagedError, match=r"record 6 .*EventTranslated"):
        list(scanned(open_lmdb()))


def test_a_record_that_only_the_index_knows_is_named(
    directory: Path, data: Path, open_lmdb: Open
) -> None:
    in_lmdb(directory, b"events", b"e9", codec.queue_key(SECOND, 9))
    journal = open_lmdb()
    with pytest.raises(JournalDamagedError, match=r"record 9 .* index names it") as caught:
        journal.accepted(EventId("e9"))
    assert caught.value.seq == 9
    with pytest.raises(JournalDamagedError, match="index of events does not fit"):
        list(scanned(journal))


def test_a_record_that_is_gone_without_a_trace_is_missed(
    directory: Path, data: Path, open_lmdb: Open
) -> None:
    env = lmdb.open(str(directory), max_dbs=6, map_size=LIMIT)
    key = codec.queue_key(FIRST, 1)
    with env.begin(write=True) as txn:
        table = env.open_db(b"journal", txn)
        kept = codec.without(key, txn.get(key, db=table), {2})
        assert kept is not None
        txn.put(key, kept, db=table)
    env.close()
    with pytest.raises(JournalDamagedError, match="4 of its 5 records are there"):
        list(scanned(open_lmdb()))


@pytest.mark.parametrize("version", [b"3", b"10", b"1.5", b"\xff"])
def test_a_newer_format_is_refused_and_stays_untouched(
    directory: Path, data: Path, version: bytes
) -> None:
    in_lmdb(directory, b"meta", b"format", version)
    before = data.read_bytes()
    for _ in range(2):
        with pytest.raises(JournalNewerError, match="install the newer agent again"):
            LmdbJournal(directory, limit=LIMIT)
        assert data.read_bytes() == before


def test_a_newer_journal_is_refused_even_if_it_lacks_a_table_of_ours(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    in_lmdb(directory, b"meta", b"format", b"3")
    before = (directory / "data.mdb").read_bytes()
    with pytest.raises(JournalNewerError):
        LmdbJournal(directory, limit=LIMIT)
    assert (directory / "data.mdb").read_bytes() == before


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 8191, 8192, 20_000, 36_863])
def test_a_data_file_cut_short_is_refused(directory: Path, data: Path, size: int) -> None:
    in_use = _bytes_in_use(directory)
    assert size < in_use
    with data.open("r+b") as file:
        file.truncate(size)
    refused(directory, f"cut to {size} bytes")


def test_a_data_file_that_lost_its_last_page_is_refused(directory: Path, data: Path) -> None:
    with data.open("r+b") as file:
        file.truncate(_bytes_in_use(directory) - 1)
    refused(directory, "cut to")


def test_a_data_file_that_lost_only_its_spare_room_is_sound(
    directory: Path, data: Path, open_lmdb: Open
) -> None:
    with data.open("r+b") as file:
        file.truncate(_bytes_in_use(directory))
    journal = open_lmdb()
    assert len(everything_in(journal)["entries"]) == 5
    assert commit(journal, FIRST, started("e3")) == 6


def _bytes_in_use(directory: Path) -> int:
    env = lmdb.open(str(directory), readonly=True, lock=False, max_dbs=6)
    used = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
    env.close()
    return int(used)


def test_a_missing_data_file_is_refused_and_no_empty_one_is_begun(
    directory: Path, data: Path
) -> None:
    data.unlink()
    refused(directory, "data.mdb is missing")
    assert not data.exists()


@pytest.mark.parametrize("page", [0, 1])
def test_a_destroyed_header_is_refused(directory: Path, data: Path, page: int) -> None:
    with data.open("r+b") as file:
        file.seek(page * 4096)
        file.write(bytes(4096))
    refused(directory, "no valid header|LMDB says")


def test_a_file_that_is_not_a_journal_is_refused(directory: Path, data: Path) -> None:
    data.write_bytes(random.Random(1).randbytes(100_000))
    refused(directory, "no valid header")


@pytest.mark.parametrize("content", [b"", b"x", bytes(4096), b"\xff" * 8191, bytes(8192), bytes(9)])
def test_a_file_whose_creation_a_crash_cut_off_stops_no_start_and_is_kept(
    directory: Path, content: bytes
) -> None:
    directory.mkdir(mode=0o700)
    (directory / "data.mdb").write_bytes(content)
    journal = LmdbJournal(directory, limit=LIMIT)
    commit(journal, FIRST, accepted("e1"))
    journal.close()

    kept = [file.read_bytes() for file in directory.glob("data.mdb.incomplete-*")]
    assert kept == ([content] if content else [])
    again = LmdbJournal(directory, limit=LIMIT)
    assert again.find_events("", 10) == ["e1"]
    again.close()


def test_a_creation_cut_off_between_the_tables_is_completed(
    directory: Path, open_lmdb: Open
) -> None:
    directory.mkdir(mode=0o700)
    env = lmdb.open(str(directory), max_dbs=6, map_size=LIMIT)
    env.open_db(b"meta")
    env.open_db(b"journal")
    env.close()

    journal = open_lmdb()
    commit(journal, FIRST, accepted("e1"))
    assert journal.agent_id


def test_random_damage_anywhere_ends_in_no_other_error_than_ours(
    directory: Path, data: Path
) -> None:
    # Without a checksum over LMDB's own pages not all damage can be found, but none may end in a
    # traceback. Damage that LMDB itself doesn't survive is out of reach from here.
    in_use = _bytes_in_use(directory)
    sound = data.read_bytes()[:in_use]
    chance = random.Random(5)
    found = 0
    for _ in range(150):
        damaged = bytearray(sound)
        damaged[chance.randrange(in_use)] ^= 1 << chance.randrange(8)
        data.write_bytes(damaged)
        try:
            reader = LmdbJournal(directory, limit=LIMIT)
        except JournalError:
            found += 1
            continue
        try:
            everything_in(reader)
        except JournalError:
            found += 1
        finally:
            reader.close()
    assert found
