"""Where a journal may live, and what is said where it can't."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store.errors import JournalError, JournalUnavailableError
from store.lmdb_journal import LmdbJournal
from tests.store.conftest import LIMIT
from tests.store.processes import NOBODY, acting_as

Open = Callable[[], LmdbJournal]

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A directory that every user may enter; pytest's own are for one user only."""
    with tempfile.TemporaryDirectory(prefix="pdagent-store-") as name:
        os.chmod(name, 0o755)  # noqa: PTH101 (a str is at hand)
        yield Path(name)


def refused(directory: Path, words: str) -> JournalError:
    """Opening fails with one line that says these words and what to do."""
    with pytest.raises(JournalUnavailableError, match=words) as caught:
        LmdbJournal(directory, limit=LIMIT)
    assert "\n" not in str(caught.value)
    assert "configure another 'database'" in str(caught.value) or "chown" in str(caught.value)
    return caught.value


def test_a_missing_directory_is_made_for_its_user_alone(tmp_path: Path) -> None:
    directory = tmp_path / "not" / "there" / "yet"
    LmdbJournal(directory, limit=LIMIT).close()

    assert directory.stat().st_mode & 0o777 == 0o700
    for file in directory.iterdir():
        assert file.stat().st_mode & 0o077 == 0 or file.name == "format", file.name


@pytest.mark.parametrize("filled", [False, True], ids=["empty", "with a journal"])
def test_a_directory_that_others_may_enter_is_closed_to_them(
    directory: Path, caplog: pytest.LogCaptureFixture, filled: bool
) -> None:
    if filled:
        LmdbJournal(directory, limit=LIMIT).close()
    else:
        directory.mkdir()
    directory.chmod(0o2755)
    LmdbJournal(directory, limit=LIMIT).close()
    assert directory.stat().st_mode & 0o7777 == 0o700
    [line] = caplog.messages
    assert "was open to other users (mode 2755): its mode is 0700 now" in line
    LmdbJournal(directory, limit=LIMIT).close()
    assert len(caplog.messages) == 1


def test_a_directory_for_something_else_that_others_may_enter_is_refused(directory: Path) -> None:
    directory.mkdir()
    (directory / "notes").write_text("something else")
    directory.chmod(0o755)
    refused(directory, r"is open to other users \(mode 0755\) and holds other files")
    assert directory.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in directory.iterdir()] == ["notes"]
    directory.chmod(0o700)
    LmdbJournal(directory, limit=LIMIT).close()


def test_a_file_in_its_place_is_left_alone(directory: Path) -> None:
    directory.write_text("something else")
    refused(directory, "is not a directory: move that file away")
    assert directory.read_text() == "something else"


def test_a_file_above_its_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("something else")
    refused(tmp_path / "file" / "journal", "can't be created")


@pytest.mark.parametrize("filled", [False, True], ids=["empty", "with a journal"])
def test_a_read_only_directory_is_refused(directory: Path, filled: bool) -> None:
    if filled:
        LmdbJournal(directory, limit=LIMIT).close()
    else:
        directory.mkdir()
    directory.chmod(0o500)
    try:
        refused(directory, "is not writable")
    finally:
        directory.chmod(0o700)


@as_root
def test_a_directory_of_another_user_is_refused_naming_both(
    directory: Path, open_lmdb: Open
) -> None:
    LmdbJournal(directory, limit=LIMIT).close()
    os.chown(directory, NOBODY, NOBODY)
    refused(directory, f"belongs to user {NOBODY}, this process runs as user 0")

    os.chown(directory, 0, 0)
    open_lmdb()


@as_root
@pytest.mark.parametrize("name", ["data.mdb", "agent.lock", "lock.mdb"])
def test_files_that_an_agent_run_as_root_left_behind_are_refused(
    open_to_all: Path, name: str
) -> None:
    directory = open_to_all / "journal"
    LmdbJournal(directory, limit=LIMIT).close()
    for path in (directory, *directory.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    os.chown(directory / name, 0, 0)

    with acting_as(NOBODY):
        refused(directory, "can't be opened.*Permission denied.*owner of its files")
    os.chown(directory / name, NOBODY, NOBODY)
    with acting_as(NOBODY):
        LmdbJournal(directory, limit=LIMIT).close()


@as_root
def test_a_place_that_this_user_may_not_write_to_is_refused(open_to_all: Path) -> None:
    with acting_as(NOBODY):
        refused(open_to_all / "journal", r"can't be created \(Permission denied\)")
