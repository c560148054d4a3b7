"""Reads LMDB's data file as plain bytes, without LMDB: no lock, nothing written, nothing mapped.

LMDB trusts its own pages: a damaged one can end the process with SIGSEGV, SIGBUS or SIGABRT. Here
every number is looked at before it is used, so damage has a page number and reading goes on behind
it. The layout is that of lmdb.h and mdb.c, data format 1, on a little-endian 64-bit machine.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from store.environment import DATA_FILE

# Page: number, padding, flags, end of the pointers, start of the nodes; an overflow page has the
# count of its pages in place of the last two. Pointers to nodes follow.
_PAGE = struct.Struct("<QHHHH")
_OVERFLOW_COUNT = struct.Struct("<12xI")
_BRANCH, _LEAF, _OVERFLOW, _META = 1, 2, 4, 8
_KINDS = _BRANCH | _LEAF | _OVERFLOW | _META
# Node: low and high half of its data's size (branch: of a page number), flags (branch: its
# highest bits), size of the key. Key and data follow.
_NODE = struct.Struct("<HHHH")
_BIG, _TABLE = 1, 2
# Meta page, behind the page's header: magic, version, address, map size, the descriptors of the
# free list and of the main table, last page, transaction.
_META_HEAD = struct.Struct("<16xIIQQ")
_META_TAIL = struct.Struct("<QQ")
_MAGIC, _VERSION = 0xBEEFC0DE, 1
# Descriptor of a table: page size (free list only), flags, depth, branch, leaf and overflow pages,
# entries, root.
_DESCRIPTOR = struct.Struct("<IHHQQQQQ")
_NO_PAGE = 2**64 - 1
_INTEGER_KEYS = 8
_FIRST_PAGE = 2
_DEEPEST = 32
_LONGEST_KEY = 511

Report = Callable[[str], None]


class Table(NamedTuple):
    """Where a table begins, and what its descriptor says about it."""

    name: str
    flags: int
    depth: int
    entries: int
    root: int


class _Node(NamedTuple):
    key: bytes
    flags: int
    data: bytes
    size: int


class DataFile:
    """The data file of a journal directory; what is wrong with it goes to `report`, in a sentence.

    Each page may be reached once. Raises `OSError` when the file can't be opened.
    """

    def __init__(self, directory: Path, report: Report) -> None:
        self._report = report
        self._fd = os.open(directory / DATA_FILE, os.O_RDONLY | os.O_CLOEXEC)
        self._page_size = 4096
        self._used = bytearray()
        self.transaction = 0
        self._free: Table | None = None
        self._main: Table | None = None
        self._read_metas()

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def tables(self) -> dict[str, Table]:
        """The named tables."""
        tables = {}
        if self._main is not None:
            for node in self._nodes(self._main):
                name = node.key.decode("ascii", "replace")
                if node.flags != _TABLE or len(node.data) != _DESCRIPTOR.size:
                    self._report(f"the table {name!r} has no valid descriptor")
                    continue
                tables[name] = self._described(name, node.data)
        return tables

    def rows(self, table: Table) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of each row that can be read, in order."""
        for node in self._nodes(table):
            if node.flags == _BIG:
                value = self._overflow(table, node)
                if value is not None:
                    yield node.key, value
            elif node.flags:
                self._report(f"{table.name}: a row has unknown flags {node.flags:#x}")
            else:
                yield node.key, node.data

    def check_free_list(self) -> None:
        """Report pages that count as free although they are in use: LMDB would write over them.

        Comes last: it needs to know which pages the tables use.
        """
        if self._free is None:
            return
        for key, value in self.rows(self._free):
            numbers = memoryview(value[: len(value) // 8 * 8]).cast("Q")
            if len(key) != 8 or not numbers or numbers[0] != len(numbers) - 1:
                self._report("the free list has a row that makes no sense")
                continue
            pages = numbers[1:].tolist()
            if any(later >= earlier for earlier, later in zip(pages, pages[1:], strict=False)):
                self._report("the free list is not in order")
            for page in pages:
                self._take(page, "the free list")

    def _read_metas(self) -> None:
        size = os.fstat(self._fd).st_size
        head = os.pread(self._fd, 4096, 0)
        if len(head) == 4096:
            # Both meta pages carry the page size, in the descriptor of the free list.
            page_size = int.from_bytes(head[40:44], "little")
            if page_size in (1 << n for n in range(9, 17)):
                self._page_size = page_size
            else:
                self._report(f"page 0 says that pages have {page_size} bytes")
        found = []
        for number in (0, 1):
            meta = os.pread(self._fd, self._page_size, number * self._page_size)
            if len(meta) < self._page_size:
                continue
            magic, version, _, _ = _META_HEAD.unpack_from(meta)
            last, transaction = _META_TAIL.unpack_from(meta, _META_HEAD.size + 2 * 48)
            if magic == _MAGIC and version & 0xFFFF == _VERSION:
                found.append((transaction, last, meta))
            else:
                self._report(f"page {number} is no valid header")
        if not found:
            return
        self.transaction, last, meta = max(found, key=lambda each: each[0])
        if size < (last + 1) * self._page_size:
            self._report(f"it is cut to {size} bytes, {(last + 1) * self._page_size} are in use")
            last = max(1, size // self._page_size - 1)
        self._used = bytearray(last + 1)
        at = _META_HEAD.size
        free_size = int.from_bytes(meta[at : at + 4], "little")
        if free_size != self._page_size:
            self._report(f"its header says that pages have {free_size} bytes")
        self._free = self._described("free list", meta[at : at + 48])
        self._main = self._described("main table", meta[at + 48 : at + 96])

    def _described(self, name: str, descriptor: bytes) -> Table:
        _, flags, depth, _, _, _, entries, root = _DESCRIPTOR.unpack(descriptor)
        expected = _INTEGER_KEYS if name == "free list" else 0
        if flags != expected:
            self._report(f"{name}: unknown flags {flags:#x}")
        return Table(name, expected, depth, entries, root)

    def _nodes(self, table: Table) -> Iterator[_Node]:
        """The leaf nodes of a table in order; what can't be read is reported and passed over."""
        if table.root == _NO_PAGE:
            if table.entries:
                self._report(f"{table.name}: {table.entries} rows are missing")
            return
        if not 0 < table.depth <= _DEEPEST:
            self._report(f"{table.name}: its depth of {table.depth} can't be")
        count, last = 0, b""
        for node in self._below(table, table.root, 1, b"", None):
            key = node.key[::-1] if table.flags == _INTEGER_KEYS else node.key
            if count and key <= last:
                self._report(f"{table.name}: row {count} is not in order")
            count, last = count + 1, key
            yield node
        if count != table.entries:
            self._report(f"{table.name}: {count} rows of {table.entries} can be read")

    def _below(
        self, table: Table, number: int, level: int, lowest: bytes, highest: bytes | None
    ) -> Iterator[_Node]:
        """Nodes of the leaves under a page; their keys belong into [lowest, highest)."""
        page = self._page(table, number)
        if page is None:
            return
        leaf = level >= table.depth
        flags = page[1][0]
        if flags & _KINDS != (_LEAF if leaf else _BRANCH):
            self._report(f"{table.name}: page {number} is of another kind than expected")
            return
        nodes = self._nodes_on(table, number, page[0], leaf)
        integer = table.flags == _INTEGER_KEYS
        if leaf:
            if not integer and nodes:
                inside = lowest <= nodes[0].key and (highest is None or nodes[-1].key < highest)
                if not inside:
                    self._report(f"{table.name}: rows of page {number} are in the wrong place")
            yield from nodes
            return
        if len(nodes) < 2 and not integer:
            self._report(f"{table.name}: page {number} has {len(nodes)} branches")
        for place, node in enumerate(nodes):
            lower = node.key if place else lowest
            upper = nodes[place + 1].key if place + 1 < len(nodes) else highest
            yield from self._below(table, node.size, level + 1, lower, upper)

    def _page(self, table: Table, number: int) -> tuple[bytes, tuple[int]] | None:
        if not self._take(number, table.name):
            return None
        content = self._read(number, self._page_size, 0)
        if content is None:
            return None
        own_number, _, flags, _, _ = _PAGE.unpack_from(content)
        if own_number != number:
            self._report(f"{table.name}: page {number} calls itself {own_number}")
            return None
        return content, (flags,)

    def _nodes_on(self, table: Table, number: int, page: bytes, leaf: bool) -> list[_Node]:
        _, _, _, lower, upper = _PAGE.unpack_from(page)
        size = self._page_size
        if not _PAGE.size <= lower <= upper <= size or lower % 2:
            self._report(f"{table.name}: page {number} has a broken header")
            return []
        count = (lower - _PAGE.size) // 2
        if not count:
            self._report(f"{table.name}: page {number} is empty")
        nodes = []
        unpack, head = _NODE.unpack_from, _NODE.size
        for place, at in enumerate(struct.unpack_from(f"<{count}H", page, _PAGE.size)):
            if not upper <= at <= size - head:
                self._report(f"{table.name}: row {place} of page {number} lies outside")
                continue
            low, high, flags, key_size = unpack(page, at)
            start = at + head + key_size
            length = low | high << 16
            if leaf:
                end = start + (8 if flags & _BIG else length)
            else:
                length, end = length | flags << 32, start
            if end > size or key_size > _LONGEST_KEY or not (key_size or (place == 0 and not leaf)):
                self._report(f"{table.name}: row {place} of page {number} has a broken header")
                continue
            nodes.append(_Node(page[at + head : start], flags, page[start:end], length))
        return nodes

    def _overflow(self, table: Table, node: _Node) -> bytes | None:
        """The value of a row that is too large for a page."""
        number = int.from_bytes(node.data, "little")
        count = (_PAGE.size - 1 + node.size) // self._page_size + 1
        if number + count > len(self._used):
            self._report(f"{table.name}: page {number} of a large row does not exist")
            return None
        if not all([self._take(page, table.name) for page in range(number, number + count)]):
            return None
        head = self._read(number, _PAGE.size, 0)
        if head is None:
            return None
        own_number, _, flags, _, _ = _PAGE.unpack(head)
        (own_count,) = _OVERFLOW_COUNT.unpack(head)
        if (own_number, flags & _KINDS, own_count) != (number, _OVERFLOW, count):
            self._report(f"{table.name}: page {number} of a large row has a broken header")
            return None
        return self._read(number, node.size, _PAGE.size)

    def _take(self, number: int, who: str) -> bool:
        """Note that a page is used; False if it can't be, or is already."""
        if not _FIRST_PAGE <= number < len(self._used):
            self._report(f"{who}: page {number} does not exist")
            return False
        if self._used[number]:
            self._report(f"{who}: page {number} is in use elsewhere")
            return False
        self._used[number] = 1
        return True

    def _read(self, number: int, size: int, offset: int) -> bytes | None:
        try:
            content = os.pread(self._fd, size, number * self._page_size + offset)
        except OSError as error:
            self._report(f"page {number} can't be read ({error.strerror})")
            return None
        if len(content) < size:
            self._report(f"page {number} is cut short")
            return None
        return content


def check_structure(directory: Path) -> list[str]:
    """All that would keep LMDB from working with the file in `directory`; empty if nothing would.

    Looks at every page that is in use, but not at what the rows say.
    """
    problems: list[str] = []
    file = DataFile(directory, problems.append)
    try:
        for table in file.tables().values():
            for _ in file.rows(table):
                pass
        file.check_free_list()
    finally:
        file.close()
    return problems
