"""Keeps disk blocks allocated ahead of the journal's last page.

On a full disk LMDB could not even record the delivery of what it already holds. So blocks are
reserved while there are some: new events are refused as soon as the reserve can't be renewed, and
the records about accepted events go on into the blocks that are left.
"""

from __future__ import annotations

import os
from pathlib import Path

_MIB = 1 << 20
_BLOCK = 512  # the unit of st_blocks, whatever the file system's own is


class Headroom:
    """`size` bytes kept allocated beyond the used part of `path`."""

    def __init__(self, path: Path, size: int) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._size = size
        self._allocated = 0

    def ensure(self, used: int) -> str | None:
        """Renew the reserve behind `used` bytes; return why it failed and how to help, or None.

        Allocates in steps of half the reserve, so that most calls cost nothing.
        """
        if self._allocated >= used + self._size // 2:
            return None
        target = used + self._size
        try:
            os.posix_fallocate(self._fd, 0, target)
        except OSError as error:
            return f"({os.strerror(error.errno or 0)}): {self._advice(target)}"
        self._allocated = target
        return None

    def _advice(self, target: int) -> str:
        """How much to free, as far as that can be known: a quota is not visible."""
        file, disk = os.fstat(self._fd), os.fstatvfs(self._fd)
        missing = target - file.st_blocks * _BLOCK - disk.f_bavail * disk.f_frsize
        free = max(1, -(-missing // _MIB))
        return (
            f"{self._size // _MIB} MB beyond what is used are kept for records of deliveries, "
            f"free at least {free} MB"
        )

    def close(self) -> None:
        """Close the descriptor, the blocks stay with the file; harmless when repeated."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
