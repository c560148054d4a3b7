"""One process a journal: an flock on `agent.lock` inside the directory.

The kernel drops the lock when the process dies, however it dies, so a stale lock can't exist; the
pid in the file only serves the message to whom it may concern.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from store.environment import unusable
from store.errors import JournalLockedError

_WIDTH = 32  # bytes; always the same, so that a file that exists is overwritten in place


class JournalLock:
    """Held from construction to `release`. Raises `JournalLockedError` if someone else holds it."""

    def __init__(self, directory: Path) -> None:
        path = directory / "agent.lock"
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unusable(directory, error) from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(self._fd)
            os.close(self._fd)
            raise JournalLockedError(directory, holder) from None
        # A full disk has no room for the pid: the message is the poorer for it, the lock holds.
        with contextlib.suppress(OSError):
            os.pwrite(self._fd, f"{os.getpid()}\n".ljust(_WIDTH).encode(), 0)

    def release(self) -> None:
        """Give the journal back; harmless when repeated."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def refuse_if_held(directory: Path) -> None:
    """Raise `JournalLockedError` if a process has the journal open.

    Takes the lock for no longer than it takes to see that it is free, and writes nothing.
    """
    try:
        descriptor = os.open(directory / "agent.lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # a copy of the data alone
    except OSError as error:
        raise unusable(directory, error) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise JournalLockedError(directory, _holder(descriptor)) from None
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> int | None:
    holder = os.pread(descriptor, _WIDTH, 0).decode("ascii", "replace").strip()
    return int(holder) if holder.isdigit() else None
