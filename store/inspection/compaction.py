"""`journal compact`: gives the room that removed records have left back to the file system.

LMDB never shrinks its file. The copy is made inside the journal's directory, compared row
by row with the original, and put in its place by one rename, so that there is a whole journal at
every moment.
"""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from itertools import zip_longest
from pathlib import Path

import lmdb

from store import codec, environment, version_1
from store.errors import JournalDamagedError, JournalMissingError, JournalUnavailableError
from store.inspection.data_file import DataFile, refuse_damage
from store.inspection.watching import WatchRows, unwatched
from store.lock import JournalLock

_COPY = "compacting"


def compact(directory: Path, watch: WatchRows = unwatched) -> tuple[int, int]:
    """Compact the journal of a stopped agent; returns its bytes on disk before and after.

    `watch` sees how far the comparison of the copy has come.

    Raises `JournalUnavailableError`, `JournalLockedError`, or `JournalDamagedError` (a record that
    is damaged counts as well): then nothing changed.
    """
    data = directory / environment.DATA_FILE
    if not data.exists():
        raise JournalMissingError(directory)
    lock = JournalLock(directory)
    copy = directory / _COPY
    try:
        refuse_damage(directory)
        before = _on_disk(data)
        shutil.rmtree(copy, ignore_errors=True)  # of a compaction that was cut off
        copy.mkdir(mode=0o700)
        _copy(directory, copy)
        _refuse_difference(directory, copy, watch)
        environment.give_to_owner_of(directory, copy / environment.DATA_FILE)
        os.replace(copy / environment.DATA_FILE, data)  # noqa: PTH105 (says that it's atomic)
        environment.sync_directory(directory)
        return before, _on_disk(data)
    except OSError as error:
        raise environment.unusable(directory, error) from None
    finally:
        shutil.rmtree(copy, ignore_errors=True)
        lock.release()


def _copy(directory: Path, copy: Path) -> None:
    size = (directory / environment.DATA_FILE).stat().st_size
    env = environment.open_environment(directory, map_size=size, readonly=True)
    try:
        env.copy(str(copy), compact=True)
    except lmdb.Error as error:
        raise JournalUnavailableError(
            f"the journal {directory} can't be copied ({error}): see whether its disk has room"
        ) from None
    finally:
        env.close()
    descriptor = os.open(copy / environment.DATA_FILE, os.O_RDONLY)
    try:
        os.fchmod(descriptor, 0o600)  # LMDB makes copies that all may read
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_difference(directory: Path, copy: Path, watch: WatchRows) -> None:
    """Also refuse a damaged record or snapshot: its copy would be damaged, but look sound."""
    problems: list[str] = []
    with (
        closing(DataFile(directory, problems.append)) as original,
        closing(DataFile(copy, problems.append)) as compacted,
    ):
        tables, copied = original.tables(), compacted.tables()
        same = tables.keys() == copied.keys()
        both = (
            (name, row, other)
            for name in (tables if same else ())
            for row, other in zip_longest(original.rows(tables[name]), compacted.rows(copied[name]))
        )
        for name, row, other in watch(both, sum(table.row_count for table in tables.values())):
            same &= row == other
            if row is not None:
                _refuse_damaged(directory, name, *row)
    if problems or not same:
        what = problems[0] if problems else "its copy is not the same"
        raise JournalDamagedError(f"{what} (found while compacting)", directory=directory)


def _refuse_damaged(directory: Path, table: str, key: bytes, value: bytes) -> None:
    try:
        if table == "journal" and len(key) == codec.SEQ_BYTES:
            version_1.decode(key, value)
        elif table == "journal":
            codec.entries_in(key, value)
        elif table == "snapshots":
            codec.check(key, value)
    except codec.BadRecordError as error:
        what = str(error)
        if table == "snapshots":
            what = f"the snapshot of queue {codec.queue_id(key)}: {error}"
        raise JournalDamagedError(what, directory=directory, seq=error.seq) from None


def _on_disk(path: Path) -> int:
    return path.stat().st_blocks * 512
