"""`journal salvage`: what is intact becomes a new journal, and what is lost is named."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from actors.recovery import recover_all
from actors.salvage import salvage
from actors.verification import verify
from store.errors import JournalLockedError, JournalNewerError, JournalUnavailableError
from store.inspection.journal_file import JournalFile
from store.lmdb_journal import LmdbJournal
from store.records import EventAccepted, EventDelivered, EventDiscarded, EventId
from tests.actors.journals_on_disk import HARM, copy_of, files_in
from tests.lived_journal import LIMIT, live


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("lived") / "journal"
    live(directory, seed=3)
    return directory


@pytest.fixture
def directory(lived: Path, tmp_path: Path) -> Path:
    """The same journal anew for each test."""
    return copy_of(lived, tmp_path / "journal")


def states_in(directory: Path) -> dict[int, object]:
    """What an agent would find at its start, but for what was under way."""
    journal = LmdbJournal(directory, limit=LIMIT)
    try:
        states = {queue: state for queue, (state, _) in recover_all(journal).items()}
    finally:
        journal.close()
    for state in states.values():
        state.in_flight = None
        for event in state.waiting.values():
            if event.state == "in_flight":
                event.state = "queued"
    return states


def accepted_in(directory: Path) -> set[EventId]:
    with JournalFile(directory) as file:
        return {
            entry.record.event
            for entry in file.entries()
            if isinstance(entry.record, EventAccepted)
        }


def ended_in(directory: Path) -> set[EventId]:
    with JournalFile(directory) as file:
        return {
            entry.record.event
            for entry in file.entries()
            if isinstance(entry.record, EventDelivered | EventDiscarded)
        }


@pytest.mark.parametrize("retention", [False, True])
def test_a_whole_journal_is_copied(tmp_path: Path, retention: bool) -> None:
    live(tmp_path / "journal", seed=5, retention=retention)
    before = files_in(tmp_path / "journal")
    saved = salvage(tmp_path / "journal", tmp_path / "new")
    assert (saved.damage, saved.left_out, saved.lost) == ([], 0, [])
    assert not saved.may_have_lost_more
    assert files_in(tmp_path / "journal") == before
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "new" / "data.mdb").stat().st_mode & 0o077 == 0
    found = verify(tmp_path / "new")
    assert (found.damage, found.records) == ([], saved.records)
    assert (found.waiting, found.dead) == (saved.waiting, saved.dead)
    assert states_in(tmp_path / "new") == states_in(tmp_path / "journal")
    with JournalFile(tmp_path / "journal") as old, JournalFile(tmp_path / "new") as new:
        assert list(new.entries()) == list(old.entries())
        assert new.queues == old.queues
        assert new.meta[b"agent_id"] == old.meta[b"agent_id"]


@pytest.mark.parametrize("seed", range(40))
def test_whatever_a_disk_did_what_is_saved_is_a_whole_journal_that_lost_nothing_in_silence(
    lived: Path, directory: Path, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    chance.choice(HARM)(directory, chance)
    before = files_in(directory)
    try:
        saved = salvage(directory, tmp_path / "new")
    except JournalNewerError:
        return
    assert files_in(directory) == before
    found = verify(tmp_path / "new")
    assert found.damage == []
    assert (found.records, found.waiting, found.dead) == (saved.records, saved.waiting, saved.dead)
    if accepted_in(lived) != accepted_in(tmp_path / "new"):
        assert saved.damage
        gone = accepted_in(lived) - accepted_in(tmp_path / "new") - ended_in(lived)
        assert saved.may_have_lost_more or gone <= set(saved.lost)
    # Numbers are never used twice, so that nothing is taken for what it isn't.
    journal = LmdbJournal(tmp_path / "new", limit=LIMIT)
    try:
        assert journal.usage().entries == saved.records
        recover_all(journal)
    finally:
        journal.close()


def test_the_event_of_a_damaged_record_is_lost_and_the_others_are_saved(
    directory: Path, tmp_path: Path
) -> None:
    with JournalFile(directory) as file:
        *_, victim = (
            entry
            for entry in file.entries()
            if isinstance(entry.record, EventAccepted) and len(entry.record.body) < 100
        )
    before = accepted_in(directory)
    assert isinstance(victim.record, EventAccepted)
    data, body = directory / "data.mdb", victim.record.body
    # Old pages hold copies of it as well.
    data.write_bytes(data.read_bytes().replace(body, body.replace(b"fill", b"FILL")))
    saved = salvage(directory, tmp_path / "new")
    assert [str(damage) for damage in saved.damage] == [
        f"record {victim.seq}: its checksum does not match"
    ]
    assert accepted_in(tmp_path / "new") == before - {victim.record.event}
    with JournalFile(directory) as file:
        told = [type(e.record).__name__ for e in file.entries() if victim.record.event in repr(e)]
    ended = {"EventDelivered", "EventDiscarded"}.intersection(told)
    assert not saved.may_have_lost_more
    assert saved.lost == ([] if ended else [victim.record.event])


def test_an_existing_directory_and_a_journal_in_use_are_left_alone(
    directory: Path, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(JournalUnavailableError, match="exists already"):
        salvage(directory, tmp_path / "there")
    assert list((tmp_path / "there").iterdir()) == []
    with pytest.raises(JournalUnavailableError, match="there is no journal"):
        salvage(tmp_path / "elsewhere", tmp_path / "new")
    journal = LmdbJournal(directory, limit=LIMIT)
    try:
        with pytest.raises(JournalLockedError):
            salvage(directory, tmp_path / "new")
    finally:
        journal.close()
    assert not (tmp_path / "new").exists()
