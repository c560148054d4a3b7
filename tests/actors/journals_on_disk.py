"""Journals that have lived, copied so that each test may do to its own what it likes."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb

from store.inspection.journal_file import JournalFile
from store.tables import Tables

Txn = Any
Dbs = dict[str, Any]


def copy_of(directory: Path, target: Path) -> Path:
    """A copy of a journal's directory, as `cp -a` makes it."""
    shutil.copytree(directory, target)
    return target


@contextmanager
def in_lmdb(directory: Path) -> Iterator[tuple[Txn, Dbs]]:
    """A transaction past all that the store does, and the named databases."""
    env = lmdb.open(str(directory), max_dbs=len(Tables._fields), map_size=1 << 30)
    dbs = {name: env.open_db(name.encode()) for name in Tables._fields}
    with env.begin(write=True) as txn:
        yield txn, dbs
    env.close()


def everything_in(directory: Path) -> tuple[object, ...]:
    """All that can be read of a journal without LMDB."""
    with JournalFile(directory) as file:
        entries, events = list(file.entries()), list(file.events())
        return entries, events, file.queues, file.snapshots, file.meta, file.damage


def files_in(directory: Path) -> dict[str, tuple[bytes, int, int]]:
    """Every file's bytes, mode and time of its last change."""
    return {
        str(path.relative_to(directory)): (
            path.read_bytes() if path.is_file() else b"",
            path.stat().st_mode,
            path.stat().st_mtime_ns,
        )
        for path in sorted(directory.rglob("*"))
    }


def flip_bits(directory: Path, chance: random.Random, count: int) -> None:
    """Flip bits of the data file: anywhere, but for the two pages at its beginning."""
    path = directory / "data.mdb"
    content = bytearray(path.read_bytes())
    for _ in range(count):
        content[chance.randrange(8192, len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def tear_page(directory: Path, chance: random.Random) -> None:
    """Fill a page of the data file with something else, as a disk that wrote half does."""
    path = directory / "data.mdb"
    content = bytearray(path.read_bytes())
    begin = 4096 * chance.randrange(2, len(content) // 4096)
    content[begin : begin + 4096] = chance.choice((bytes(4096), chance.randbytes(4096)))
    path.write_bytes(content)


def cut(directory: Path, chance: random.Random) -> None:
    """Cut the data file."""
    path = directory / "data.mdb"
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(8192, len(content))])


HARM: tuple[Callable[[Path, random.Random], None], ...] = (
    lambda directory, chance: flip_bits(directory, chance, 1),
    lambda directory, chance: flip_bits(directory, chance, 30),
    tear_page,
    cut,
)
"""What disks do to files."""
