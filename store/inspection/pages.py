"""Single pages of LMDB's data file, read as plain bytes: every number is looked at before its use.

The layout is that of lmdb.h and mdb.c, data format 1, on a little-endian 64-bit machine.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import NamedTuple

# Page: number, padding, flags, end of the offsets, start of the rows; an overflow page has the
# count of its pages in place of the last two. The offsets of the rows follow.
_PAGE = struct.Struct("<QHHHH")
_OVERFLOW_COUNT = struct.Struct("<12xI")
_BRANCH, _LEAF, _OVERFLOW = 1, 2, 4
_KINDS = 15
# Row: low and high half of its data's size (branch: of a page number), flags (branch: the
# highest bits), size of the key. Key and data follow.
_ROW = struct.Struct("<HHHH")
_BIG = 1
_LONGEST_KEY = 511
_FIRST = 2  # behind the two meta pages

Report = Callable[[str], None]


class Leaf(NamedTuple):
    """A leaf page whose rows all lie inside it, by their offsets in order of their keys.

    `large` are those whose data lie on overflow pages.
    """

    number: int
    content: bytes
    offsets: tuple[int, ...]
    large: tuple[int, ...]

    def key(self, at: int) -> bytes:
        """The key of the row at an offset."""
        return _key(self.content, at)

    def row(self, at: int) -> tuple[bytes, int, bytes]:
        """Key, flags and data of the row at an offset; a large row's data are a page number."""
        low, high, flags, key_size = _ROW.unpack_from(self.content, at)
        start = at + _ROW.size + key_size
        size = 8 if flags & _BIG else low | high << 16
        key = self.content[at + _ROW.size : start]
        return key, flags & ~_BIG, self.content[start : start + size]

    def is_large(self, at: int) -> bool:
        """Whether the data of the row at an offset lie on overflow pages."""
        return bool(_ROW.unpack_from(self.content, at)[2] & _BIG)

    def size(self, at: int) -> int:
        """The size of the data of the row at an offset, wherever they lie."""
        low, high, _, _ = _ROW.unpack_from(self.content, at)
        return int(low | high << 16)


class Branch(NamedTuple):
    """A page below a branch page, and the least key that belongs under it (unless it's first)."""

    child: int
    key: bytes


class Pages:
    """The pages of one open file. Each may be taken once; what is wrong goes to `report`."""

    def __init__(self, descriptor: int, page_size: int, count: int, report: Report) -> None:
        self._fd = descriptor
        self._size = page_size
        self._taken = bytearray(count)
        self._report = report
        self._read_again = 0, b""

    def take(self, number: int, who: str) -> bool:
        """Note that a page is used; False if it can't be, or is already."""
        if not _FIRST <= number < len(self._taken):
            self._report(f"{who}: page {number} does not exist")
            return False
        if self._taken[number]:
            self._report(f"{who}: page {number} is in use elsewhere")
            return False
        self._taken[number] = 1
        return True

    def leaf(self, number: int, who: str) -> Leaf | None:
        """A leaf page without the rows that can't be used, or None."""
        found = self._tree_page(number, _LEAF, who)
        if found is None:
            return None
        page, offsets, first = found
        unpack, size, large, broken = _ROW.unpack_from, self._size, [], []
        latest = size - _ROW.size
        for at in offsets:
            if first <= at <= latest:
                low, high, flags, key_size = unpack(page, at)
                length = 8 if flags & _BIG else low | high << 16
                if 0 < key_size <= _LONGEST_KEY and at + 8 + key_size + length <= size:
                    if flags & _BIG:
                        large.append(at)
                    continue
            broken.append(at)
        if broken:
            self._report(f"{who}: {len(broken)} rows of page {number} have a broken header")
            offsets = tuple(at for at in offsets if at not in broken)
        return Leaf(number, page, offsets, tuple(large))

    def branches(self, number: int, who: str) -> list[Branch]:
        """The pages below a branch page, as far as it can be read."""
        found = self._tree_page(number, _BRANCH, who)
        if found is None:
            return []
        page, offsets, first = found
        branches = []
        for place, at in enumerate(offsets):
            if first <= at <= self._size - _ROW.size:
                low, high, highest, key_size = _ROW.unpack_from(page, at)
                fits = at + _ROW.size + key_size <= self._size
                if fits and key_size <= _LONGEST_KEY and (key_size or not place):
                    branches.append(Branch(low | high << 16 | highest << 32, _key(page, at)))
                    continue
            self._report(f"{who}: branch {place} of page {number} is broken")
        return branches

    def large_data(self, leaf: Leaf, at: int, who: str) -> bytes | None:
        """The data of a row that is too large for its page, or None."""
        size = leaf.size(at)
        number = int.from_bytes(leaf.row(at)[2], "little")
        count = (_PAGE.size - 1 + size) // self._size + 1
        if number + count > len(self._taken):
            self._report(f"{who}: page {number} of a large row does not exist")
            return None
        if not all(self.take(page, who) for page in range(number, number + count)):
            return None
        content = self._read(number, _PAGE.size + size)
        if content is None:
            return None
        own_number, _, flags, _, _ = _PAGE.unpack_from(content)
        (own_count,) = _OVERFLOW_COUNT.unpack_from(content)
        if (own_number, flags & _KINDS, own_count) != (number, _OVERFLOW, count):
            self._report(f"{who}: page {number} of a large row has a broken header")
            return None
        return content[_PAGE.size :]

    def place(self, leaf: Leaf, at: int) -> int:
        """Where in the file a row begins."""
        return leaf.number * self._size + at

    def row_at(self, place: int) -> tuple[bytes, bytes]:
        """Key and data of the row at a `place`, which must have been found; reads it again."""
        number, at = divmod(place, self._size)
        if number != self._read_again[0]:
            self._read_again = number, os.pread(self._fd, self._size, number * self._size)
        leaf = Leaf(number, self._read_again[1], (), ())
        key, _, data = leaf.row(at)
        if leaf.is_large(at):
            begin = int.from_bytes(data, "little") * self._size + _PAGE.size
            data = os.pread(self._fd, leaf.size(at), begin)
        return key, data

    def _tree_page(
        self, number: int, kind: int, who: str
    ) -> tuple[bytes, tuple[int, ...], int] | None:
        """A page's content, the offsets of its rows, and where the first of them may begin."""
        if not self.take(number, who):
            return None
        page = self._read(number, self._size)
        if page is None:
            return None
        own_number, _, flags, lower, upper = _PAGE.unpack_from(page)
        if own_number != number or flags & _KINDS != kind:
            self._report(f"{who}: page {number} is not what it should be")
            return None
        if not _PAGE.size < lower <= upper <= self._size or lower % 2:
            self._report(f"{who}: page {number} has a broken header")
            return None
        count = (lower - _PAGE.size) // 2
        return page, struct.unpack_from(f"<{count}H", page, _PAGE.size), upper

    def _read(self, number: int, size: int) -> bytes | None:
        try:
            content = os.pread(self._fd, size, number * self._size)
        except OSError as error:
            self._report(f"page {number} can't be read ({error.strerror})")
            return None
        if len(content) < size:
            self._report(f"page {number} is cut short")
            return None
        return content


def _key(page: bytes, at: int) -> bytes:
    size = int.from_bytes(page[at + 6 : at + 8], "little")
    return page[at + _ROW.size : at + _ROW.size + size]
