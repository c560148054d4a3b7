"""What `commit` has returned for survives the process, and a commit is whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from store.errors import CommitFailedError
from store.lmdb_journal import LmdbJournal
from store.records import EventId
from tests.store.processes import REPOSITORY, holding
from tests.store.sample_records import (
    FIRST,
    SECOND,
    accepted,
    append,
    commit,
    everything_in,
    scanned,
    seqs_of,
    started,
)

Open = Callable[[], LmdbJournal]

_COMMIT_FOR_EVER = """
import sys
from pathlib import Path
from store.lmdb_journal import LmdbJournal
from tests.store.sample_records import FIRST, SECOND, accepted, append, started
journal = LmdbJournal(Path(sys.argv[1]), limit=64 << 20)
number = 0
while True:
    event = f"e{number}"
    journal.commit([append(FIRST, accepted(event), started(event)),
                    append(SECOND, accepted(f"twin-{event}"), snapshot=event.encode())])
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    number += 1
"""


def test_every_commit_of_a_killed_process_is_there(directory: Path, open_lmdb: Open) -> None:
    with holding(directory, commits=50):
        pass
    assert seqs_of(scanned(open_lmdb())) == list(range(1, 51))


@pytest.mark.parametrize("until", [1, 20, 63])
def test_a_process_killed_in_the_middle_leaves_whole_commits_only(
    directory: Path, open_lmdb: Open, until: int
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _COMMIT_FOR_EVER, str(directory)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= until:
            break
    process.kill()
    told = until + len(process.communicate()[0].split())

    journal = open_lmdb()
    count, rest = divmod(len(seqs_of(scanned(journal))), 3)
    assert rest == 0
    assert count in (told + 1, told + 2)
    for number in range(count):
        assert journal.accepted(EventId(f"e{number}")) is not None
        assert journal.accepted(EventId(f"twin-e{number}")) is not None
    snapshot = journal.snapshot(SECOND)
    assert snapshot is not None
    assert (snapshot.seq, snapshot.pieces) == (3 * count, (f"e{count - 1}".encode(),))
    assert commit(journal, FIRST, accepted("later")) == 3 * count + 1


def test_a_commit_waits_for_the_disk(open_lmdb: Open) -> None:
    flags = open_lmdb()._env.flags()  # no other way to see it but to cut the power
    assert flags["sync"]
    assert flags["metasync"]
    assert not flags["writemap"]
    assert not flags["map_async"]


def test_a_commit_with_one_part_that_cannot_be_stored_stores_no_part_and_takes_no_number(
    open_lmdb: Open,
) -> None:
    journal = open_lmdb()
    commit(journal, FIRST, accepted("e1"))
    before = everything_in(journal)
    impossible = accepted("e" * 600)
    with pytest.raises(CommitFailedError):
        journal.commit([append(FIRST, started("e1")), append(SECOND, impossible, snapshot=b"s")])

    assert everything_in(journal) == before
    journal.recover()
    assert commit(journal, FIRST, started("e1")) == 2


def test_a_failed_commit_keeps_the_error_of_the_disk_as_its_cause(open_lmdb: Open) -> None:
    with pytest.raises(CommitFailedError, match="a commit to the journal failed") as caught:
        commit(open_lmdb(), FIRST, accepted("e" * 600))
    assert caught.value.__cause__ is not None
