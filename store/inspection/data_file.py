"""Reads LMDB's data file without LMDB: no lock, nothing written, nothing mapped.

LMDB trusts its own pages: a damaged one can end the process with SIGSEGV, SIGBUS or SIGABRT, and
a damaged list of free pages makes it write over pages in use. So the file is looked at as plain
bytes before LMDB opens it, and commands that only read do without LMDB altogether.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from store.environment import DATA_FILE, unusable
from store.errors import JournalDamagedError
from store.inspection.pages import Leaf, Pages, Report

# Meta page: header, magic, version, address, map size, the descriptors of the free list and of the
# main table (48 bytes each), last page, transaction.
_META = struct.Struct("<16xIIQQ48s48sQQ")
_MAGIC, _VERSION = 0xBEEFC0DE, 1
_PAGE_SIZES = tuple(1 << n for n in range(9, 17))
# Descriptor of a table: page size (free list only), flags, depth, branch, leaf and overflow pages,
# rows, root.
_DESCRIPTOR = struct.Struct("<IHHQQQQQ")
_NO_PAGE = 2**64 - 1
_INTEGER_KEYS = 8
_IS_TABLE = 2
_DEEPEST = 32


class Table(NamedTuple):
    """Where a table begins, and what its descriptor says about it."""

    name: str
    flags: int
    depth: int
    row_count: int
    root: int


class DataFile:
    """The data file of a journal directory; what is wrong with it goes to `report`, in a sentence.

    A page may be reached once, so each table can be read once. `transaction` is the number of the
    last one. Raises `OSError` when the file can't be opened.
    """

    def __init__(self, directory: Path, report: Report) -> None:
        self._report = report
        self._fd = os.open(directory / DATA_FILE, os.O_RDONLY | os.O_CLOEXEC)
        self.transaction = 0
        self._free: Table | None = None
        self._main: Table | None = None
        try:
            self._pages = self._open()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def tables(self) -> dict[str, Table]:
        """The named tables."""
        tables = {}
        if self._main is not None:
            for key, flags, data, _ in self._rows(self._main):
                name = key.decode("ascii", "replace")
                if flags != _IS_TABLE or len(data) != _DESCRIPTOR.size:
                    self._report(f"the table {name!r} has no valid descriptor")
                    continue
                tables[name] = self._described(name, data, 0)
        return tables

    def rows(self, table: Table) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of each row that can be read, in order."""
        for key, data, _ in self.placed_rows(table):
            yield key, data

    def placed_rows(self, table: Table) -> Iterator[tuple[bytes, bytes, int]]:
        """As `rows`, each with its place, at which `row_at` reads it again."""
        for key, flags, data, place in self._rows(table):
            if flags:
                self._report(f"{table.name}: a row has unknown flags {flags:#x}")
            else:
                yield key, data, place

    def row_at(self, place: int) -> tuple[bytes, bytes]:
        """Key and value of the row at a place that `placed_rows` has named."""
        return self._pages.row_at(place)

    def check(self, table: Table) -> None:
        """Report what would keep LMDB from reading a table, without looking at its rows."""
        count = 0
        for leaf in self._leaves(table):
            count += len(leaf.offsets)
            for at in leaf.large:
                self._pages.large_data(leaf, at, table.name)
        self._compare(table, count)

    def check_free_list(self) -> None:
        """Report pages that count as free although they are in use: LMDB would write over them.

        Comes last: it needs to know which pages the tables use.
        """
        if self._free is None:
            return
        for key, value in self.rows(self._free):
            numbers = memoryview(value[: len(value) // 8 * 8]).cast("Q").tolist()
            if len(key) != 8 or not numbers or numbers[0] >= len(numbers):
                self._report("the free list has a row that makes no sense")
                continue
            pages = numbers[1 : 1 + numbers[0]]
            if any(later >= earlier for earlier, later in pairwise(pages)):
                self._report("the free list is not in order")
            for page in pages:
                self._pages.take(page, "the free list")

    def _open(self) -> Pages:
        """Read the newer of the two meta pages, as LMDB does."""
        size = os.fstat(self._fd).st_size
        page_size = int.from_bytes(os.pread(self._fd, 4, 40), "little")
        if size < 2 * 4096:
            self._report(f"{DATA_FILE} is cut to {size} bytes")
            return Pages(self._fd, 4096, 0, self._report)
        if page_size not in _PAGE_SIZES:
            self._report(f"its file {DATA_FILE} has no valid header")
            return Pages(self._fd, 4096, 0, self._report)
        metas = []
        for number in (0, 1):
            page = os.pread(self._fd, _META.size, number * page_size)
            if len(page) == _META.size:
                magic, version, _, _, free, main, last, transaction = _META.unpack(page)
                if (magic, version & 0xFFFF) == (_MAGIC, _VERSION):
                    metas.append((transaction, last, free, main))
                    continue
            self._report(f"page {number} of {DATA_FILE} is no valid header")
        if not metas:
            return Pages(self._fd, page_size, 0, self._report)
        self.transaction, last, free, main = max(metas)
        if size < (last + 1) * page_size:
            self._report(f"{DATA_FILE} is cut to {size} bytes, {(last + 1) * page_size} are in use")
            last = size // page_size
        if int.from_bytes(free[:4], "little") != page_size:
            self._report("its two headers disagree about the size of pages")
        self._free = self._described("the free list", free, _INTEGER_KEYS)
        self._main = self._described("the main table", main, 0)
        return Pages(self._fd, page_size, last + 1, self._report)

    def _described(self, name: str, descriptor: bytes, expected: int) -> Table:
        _, flags, depth, _, _, _, count, root = _DESCRIPTOR.unpack(descriptor)
        if flags != expected:
            self._report(f"{name}: unknown flags {flags:#x}")
        return Table(name, expected, depth, count, root)

    def _rows(self, table: Table) -> Iterator[tuple[bytes, int, bytes, int]]:
        """Key, flags, data and place of each row; what can't be read is reported."""
        count, last = 0, b""
        for leaf in self._leaves(table):
            for at in leaf.offsets:
                key, flags, found = leaf.row(at)
                data: bytes | None = found
                if at in leaf.large:
                    data = self._pages.large_data(leaf, at, table.name)
                place = key[::-1] if table.flags == _INTEGER_KEYS else key
                if count and place <= last:
                    self._report(f"{table.name}: row {count} is not in order")
                count, last = count + 1, place
                if data is not None:
                    yield key, flags, data, self._pages.place(leaf, at)
        self._compare(table, count)

    def _compare(self, table: Table, count: int) -> None:
        if count != table.row_count:
            self._report(f"{table.name}: {count} rows of {table.row_count} can be read")

    def _leaves(self, table: Table) -> Iterator[Leaf]:
        """The leaf pages of a table in order."""
        if table.root == _NO_PAGE:
            return
        if not 0 < table.depth <= _DEEPEST:
            self._report(f"{table.name}: its depth of {table.depth} can't be")
            return
        yield from self._below(table, table.root, 1, b"", None)

    def _below(
        self, table: Table, number: int, level: int, lowest: bytes, highest: bytes | None
    ) -> Iterator[Leaf]:
        """The leaves under a page; their keys belong into [lowest, highest)."""
        ordered_as_bytes = table.flags != _INTEGER_KEYS
        if level == table.depth:
            leaf = self._pages.leaf(number, table.name)
            if leaf is None:
                return
            if leaf.offsets and ordered_as_bytes:
                last = leaf.key(leaf.offsets[-1])
                if leaf.key(leaf.offsets[0]) < lowest or (highest is not None and last >= highest):
                    self._report(f"{table.name}: rows of page {number} are in the wrong place")
            yield leaf
            return
        branches = self._pages.branches(number, table.name)
        if len(branches) == 1 and ordered_as_bytes:
            self._report(f"{table.name}: page {number} has one branch only")
        for place, (child, key) in enumerate(branches):
            lower = key if place else lowest
            upper = branches[place + 1].key if place + 1 < len(branches) else highest
            yield from self._below(table, child, level + 1, lower, upper)


def refuse_damage(directory: Path) -> None:
    """Raise `JournalDamagedError` if LMDB could not work with the file in `directory`.

    Reads every page that is in use, but not the contents of the rows.
    """
    problems: list[str] = []
    try:
        file = DataFile(directory, problems.append)
    except OSError as error:
        raise unusable(directory, error) from None
    with closing(file):
        for table in file.tables().values():
            file.check(table)
        file.check_free_list()
    if problems:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise JournalDamagedError(f"{problems[0]}{more}", directory=directory)
