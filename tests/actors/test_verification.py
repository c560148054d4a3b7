"""`journal verify`: a journal that lived is whole, whatever is wrong with it is found and named."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.verification import verify
from store import codec
from store.codec import StoredSnapshot, queue_key
from store.errors import (
    JournalChangedError,
    JournalLockedError,
    JournalNewerError,
    JournalUnavailableError,
)
from store.inspection.journal_file import JournalFile
from store.lmdb_journal import LmdbJournal
from store.records import Entry, EventAccepted, QueueHeld, QueueId, Record
from tests.actors.journals_on_disk import HARM, Dbs, Txn, copy_of, everything_in, files_in, in_lmdb
from tests.lived_journal import LIMIT, live

ONE, TWO = QueueId(1), QueueId(2)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("lived") / "journal"
    live(directory)
    return directory


@pytest.fixture
def directory(lived: Path, tmp_path: Path) -> Path:
    """The same journal anew for each test."""
    return copy_of(lived, tmp_path / "journal")


@pytest.mark.parametrize("retention", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_a_journal_that_lived_is_whole(tmp_path: Path, seed: int, retention: bool) -> None:
    states = live(tmp_path / "journal", seed=seed, retention=retention)
    found = verify(tmp_path / "journal")
    assert found.damage == []
    assert found.records > 100
    assert found.queues == len(states)
    assert found.waiting == sum(len(state.waiting) for state in states.values()) > 0
    assert found.dead == sum(len(state.dead) for state in states.values())
    assert found.snapshots == found.queues


def test_looking_changes_nothing_even_where_nothing_may_be_written(directory: Path) -> None:
    for file in directory.iterdir():
        file.chmod(0o400)
    directory.chmod(0o500)
    before = files_in(directory)
    assert verify(directory).damage == []
    assert files_in(directory) == before
    directory.chmod(0o700)


def test_a_copy_of_the_data_file_alone_can_be_verified(lived: Path, tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes((lived / "data.mdb").read_bytes())
    assert verify(tmp_path).damage == []
    assert [file.name for file in tmp_path.iterdir()] == ["data.mdb"]


def row_of(txn: Txn, dbs: Dbs, wanted: Callable[[Entry], bool]) -> tuple[bytes, bytes, Entry]:
    """The first entry of that kind, and key and value of its row."""
    for key, value in txn.cursor(dbs["journal"]):
        for entry in codec.entries_in(key, value):
            if wanted(entry):
                return key, value, entry
    raise AssertionError


def accepted_in(txn: Txn, dbs: Dbs) -> tuple[Entry, EventAccepted]:
    _, _, entry = row_of(txn, dbs, lambda entry: isinstance(entry.record, EventAccepted))
    assert isinstance(entry.record, EventAccepted)
    return entry, entry.record


def spoil_a_record(txn: Txn, dbs: Dbs) -> None:
    key, value, _ = row_of(txn, dbs, lambda entry: entry.seq == 7)
    body = dict(codec.bodies_in(key, value))[7]
    assert body is not None
    damaged = bytes([body[0] ^ 1]) + body[1:]
    txn.put(key, value.replace(body, damaged), db=dbs["journal"])


def move_a_record(txn: Txn, dbs: Dbs) -> None:
    _, value, _ = row_of(txn, dbs, lambda entry: entry.seq == 8)
    remove(txn, dbs, 7)
    txn.put(queue_key(ONE, 7), value, db=dbs["journal"])


def remove(txn: Txn, dbs: Dbs, seq: int) -> None:
    key, value, _ = row_of(txn, dbs, lambda entry: entry.seq == seq)
    kept = codec.without(key, value, {seq})
    txn.delete(key, db=dbs["journal"])
    if kept is not None:
        txn.put(key, kept, db=dbs["journal"])


def lose_a_record(txn: Txn, dbs: Dbs) -> None:
    remove(txn, dbs, 7)


def lose_two_records(txn: Txn, dbs: Dbs) -> None:
    for seq in (7, 8):
        remove(txn, dbs, seq)


def lose_the_last_record(txn: Txn, dbs: Dbs) -> None:
    last = max(
        entry.seq
        for key, value in txn.cursor(dbs["journal"])
        for entry in codec.entries_in(key, value)
    )
    remove(txn, dbs, last)


def put_record(txn: Txn, dbs: Dbs, seq: int, queue: QueueId, record: Record) -> None:
    [(key, value)] = codec.rows_of(queue, [(seq, record)])
    txn.put(key, value, db=dbs["journal"])


def accept_again(txn: Txn, dbs: Dbs) -> None:
    _, record = accepted_in(txn, dbs)
    put_record(txn, dbs, 100_000, ONE, record)


def use_an_unknown_queue(txn: Txn, dbs: Dbs) -> None:
    put_record(txn, dbs, 100_000, QueueId(99), QueueHeld(reason="", at=1.0))


def unname_an_event(txn: Txn, dbs: Dbs) -> None:
    _, record = accepted_in(txn, dbs)
    txn.delete(record.event.encode(), db=dbs["events"])


def misplace_an_event(txn: Txn, dbs: Dbs) -> None:
    _, record = accepted_in(txn, dbs)
    txn.put(record.event.encode(), queue_key(ONE, 3), db=dbs["events"])


def misplace_an_event_in_another_queue(txn: Txn, dbs: Dbs) -> None:
    entry, record = accepted_in(txn, dbs)
    txn.put(record.event.encode(), queue_key(QueueId(9), entry.seq), db=dbs["events"])


def name_an_event_that_is_not(txn: Txn, dbs: Dbs) -> None:
    txn.put(b"event-that-is-not", queue_key(ONE, 3), db=dbs["events"])


def snapshot_of(txn: Txn, dbs: Dbs, queue: QueueId) -> StoredSnapshot:
    return codec.decode_snapshot(queue_key(queue), txn.get(queue_key(queue), db=dbs["snapshots"]))


def put_snapshot(txn: Txn, dbs: Dbs, queue: QueueId, snapshot: StoredSnapshot) -> None:
    value = codec.encode_other(queue_key(queue), snapshot)
    txn.put(queue_key(queue), value, db=dbs["snapshots"])


def lose_a_piece_of_a_snapshot(txn: Txn, dbs: Dbs) -> None:
    earlier = snapshot_of(txn, dbs, ONE)
    put_snapshot(txn, dbs, ONE, StoredSnapshot(earlier.seq, earlier.state, more=1))


def spoil_the_figures(txn: Txn, dbs: Dbs) -> None:
    value = txn.get(b"figures", db=dbs["meta"])
    txn.put(b"figures", value[:-1] + bytes([value[-1] ^ 1]), db=dbs["meta"])


def swap_snapshots(txn: Txn, dbs: Dbs) -> None:
    put_snapshot(txn, dbs, ONE, snapshot_of(txn, dbs, TWO))


def date_a_snapshot_forward(txn: Txn, dbs: Dbs) -> None:
    earlier = snapshot_of(txn, dbs, ONE)
    put_snapshot(txn, dbs, ONE, StoredSnapshot(earlier.seq + 100_000, earlier.state))


def garble_a_snapshot(txn: Txn, dbs: Dbs) -> None:
    earlier = snapshot_of(txn, dbs, ONE)
    put_snapshot(txn, dbs, ONE, StoredSnapshot(earlier.seq, b"no state"))


def spoil_a_snapshot(txn: Txn, dbs: Dbs) -> None:
    txn.put(queue_key(ONE), b"x" * 100, db=dbs["snapshots"])


def forget_the_format(txn: Txn, dbs: Dbs) -> None:
    txn.delete(b"format", db=dbs["meta"])


def forget_a_queue(txn: Txn, dbs: Dbs) -> None:
    for key, value in txn.cursor(dbs["queues"]):
        if value == queue_key(TWO):
            txn.delete(bytes(key), db=dbs["queues"])
            return


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (spoil_a_record, "record 7: its checksum does not match"),
        (move_a_record, "record 7: its checksum does not match"),
        (lose_a_record, "record 7: it is missing"),
        (lose_two_records, "record 7: it and the following 1 are missing, up to 8"),
        (accept_again, "record 100000: it accepts event"),
        (use_an_unknown_queue, "record 100000: its queue 99 is unknown"),
        (lose_the_last_record, "it is missing"),
        (unname_an_event, "the index of events does not name it"),
        (misplace_an_event, "the index of events says 3 for its event"),
        (misplace_an_event_in_another_queue, "the index of events says queue 9"),
        (name_an_event_that_is_not, "record 3: the index of events says that it accepts"),
        (swap_snapshots, "the snapshot of queue 1 is that of queue 2"),
        (date_a_snapshot_forward, "the snapshot of queue 1 goes up to record"),
        (garble_a_snapshot, "the snapshot of queue 1 can't be understood"),
        (lose_a_piece_of_a_snapshot, "the snapshot of queue 1: its piece 1 is missing"),
        (spoil_the_figures, "the number of its last record: its checksum does not match"),
        (spoil_a_snapshot, "the snapshot of queue 1: format"),
        (forget_the_format, "its format is not noted"),
        (forget_a_queue, "its queue 2 is unknown"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_wrong_is_found_and_named(
    directory: Path, harm: Callable[[Txn, Dbs], None], told: str
) -> None:
    with in_lmdb(directory) as (txn, dbs):
        harm(txn, dbs)
    lines = [str(damage) for damage in verify(directory).damage]
    assert any(told in line for line in lines), lines
    assert all("\n" not in line for line in lines)


def test_an_event_that_waits_without_a_body_is_damage(directory: Path) -> None:
    """All its records behind the snapshot are gone with it, as a wrong removal would do."""
    with JournalFile(directory) as file:
        last = max(snapshot.seq for snapshot in file.snapshots.values())
    with in_lmdb(directory) as (txn, dbs):
        for key, value in list(txn.cursor(dbs["journal"])):
            for entry in codec.entries_in(key, value):
                if entry.seq <= last and isinstance(entry.record, EventAccepted):
                    remove(txn, dbs, entry.seq)
                    txn.delete(entry.record.event.encode(), db=dbs["events"])
        txn.put(b"last_seq", str(last).encode(), db=dbs["meta"])
    lines = [str(damage) for damage in verify(directory).damage]
    assert any("has lost its record" in line for line in lines), lines


@pytest.mark.parametrize("seed", range(40))
def test_whatever_a_disk_does_is_told_if_it_changed_anything(
    lived: Path, directory: Path, seed: int
) -> None:
    chance = random.Random(seed)
    chance.choice(HARM)(directory, chance)
    try:
        found = verify(directory)
    except JournalNewerError:
        return
    if not found.damage:
        assert everything_in(directory) == everything_in(lived)


def test_a_journal_in_use_is_refused_with_the_process_that_uses_it(directory: Path) -> None:
    journal = LmdbJournal(directory, limit=LIMIT)
    try:
        with pytest.raises(JournalLockedError, match="is in use by process"):
            verify(directory)
    finally:
        journal.close()
    assert verify(directory).damage == []


def test_a_journal_that_is_written_meanwhile_is_no_result(directory: Path) -> None:
    with pytest.raises(JournalChangedError, match="written by an agent meanwhile"):
        read_while_written(directory)


def read_while_written(directory: Path) -> None:
    with JournalFile(directory) as file:
        assert next(file.entries()).seq == 1
        journal = LmdbJournal(directory, limit=LIMIT)
        journal.recover()
        journal.close()


def test_what_is_no_journal_or_a_newer_one_is_refused(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(JournalUnavailableError, match="there is no journal in"):
        verify(tmp_path / "elsewhere")
    with in_lmdb(directory) as (txn, dbs):
        txn.put(b"format", b"3", db=dbs["meta"])
    with pytest.raises(JournalNewerError, match="has format 3"):
        verify(directory)
