"""A file that at most one process holds: an flock on it, and the holder's pid in it.

The kernel drops the lock when the process dies, however it dies, so a stale lock can't exist. The
pid only makes messages better.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from store.environment import unusable
from store.errors import JournalLockedError

WIDTH = 64
"""Bytes that a pid may take in its file."""
POLL_SECONDS = 0.02


class HeldByOther(Exception):
    """Another process holds the file; `pid` is None if it can't be read."""

    def __init__(self, pid: int | None) -> None:
        super().__init__(f"held by process {pid}")
        self.pid = pid


def hold(path: Path, *, patience: float = 0.0) -> int:
    """Create and lock `path`; the lock lasts until the descriptor that is returned is closed.

    Raises `HeldByOther` if the lock isn't free within `patience` seconds, and `OSError`.
    """
    deadline = time.monotonic() + patience
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    while True:
        descriptor = os.open(path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The last holder may have removed the file between our open and our lock.
            if os.path.samestat(os.fstat(descriptor), path.lstat()):
                return descriptor
        except (BlockingIOError, FileNotFoundError):
            pass
        except BaseException:
            os.close(descriptor)
            raise
        pid = _pid_in(descriptor)
        os.close(descriptor)
        if time.monotonic() >= deadline:
            raise HeldByOther(pid)
        time.sleep(POLL_SECONDS)


def write_pid(descriptor: int) -> None:
    """Write this process's pid over the file; needs no new block on a full disk."""
    text = str(os.getpid()).encode()
    # Padded first, so that no reader takes an old, longer number's rest for digits of this one.
    os.pwrite(descriptor, text.ljust(WIDTH), 0)
    os.ftruncate(descriptor, len(text))


def refuse_if_locked(path: Path) -> None:
    """Raise `HeldByOther` if a process holds `path`, `OSError` if that can't be found out.

    Takes the lock only to see that it is free, and writes nothing.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise HeldByOther(_pid_in(descriptor)) from None
    finally:
        os.close(descriptor)


class JournalLock:
    """One process per journal: held from construction to `release`.

    Raises `JournalLockedError` if another process holds it.
    """

    def __init__(self, directory: Path) -> None:
        try:
            self._fd = hold(directory / "agent.lock")
        except HeldByOther as held:
            raise JournalLockedError(directory, held.pid) from None
        except OSError as error:
            raise unusable(directory, error) from None
        # On a full disk the pid is missing from the message; the lock still works.
        with contextlib.suppress(OSError):
            write_pid(self._fd)

    def release(self) -> None:
        """Give the journal back; harmless when repeated."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def refuse_if_held(directory: Path) -> None:
    """Raise `JournalLockedError` if a process has the journal open."""
    try:
        refuse_if_locked(directory / "agent.lock")
    except HeldByOther as held:
        raise JournalLockedError(directory, held.pid) from None
    except OSError as error:
        raise unusable(directory, error) from None


def _pid_in(descriptor: int) -> int | None:
    holder = os.pread(descriptor, WIDTH, 0).strip(b"\0 \n")
    return int(holder) if holder.isdigit() else None
