"""The pidfile: whoever holds its lock is the running agent.

Liveness hangs on an flock, which the kernel drops with its process, never on the number in the
file: a pidfile left by a crash, or a pid that something else got since, means nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from pdagent.config import StartRefused

# Long enough to outlast `running_pid`, which takes the lock for a moment to see whether it is free.
_PATIENCE_SECONDS = 1.0
_POLL_SECONDS = 0.02
_LONGEST = 64


class Pidfile:
    """Holds the lock on a pidfile for the length of a `with` block, with this process's pid in it.

    The file and, if need be, its folder are made on entry; the file is removed on exit.

    Raises:
        StartRefused: On entry: another process holds the lock, or the path can't be a pidfile.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = self._open_locked()
        except OSError as error:
            reason = (
                "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror or "error"
            )
            raise StartRefused(f"can't use the pidfile {self._path}: {reason}") from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Removed while locked: nobody can take a lock on it that the next agent wouldn't see.
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1

    def _open_locked(self) -> int:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(self._path, flags, 0o600)
            try:
                if self._take(descriptor):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
            if time.monotonic() > deadline:
                pid = running_pid(self._path)
                raise StartRefused(
                    f"the agent is running already{f' (pid {pid})' if pid else ''}: "
                    f"pidfile {self._path} is locked; 'pagerduty-agent server stop' stops it"
                )
            time.sleep(_POLL_SECONDS)

    def _take(self, descriptor: int) -> bool:
        status = os.fstat(descriptor)
        old = os.read(descriptor, _LONGEST) if stat.S_ISREG(status.st_mode) else b"no file"
        # A crash can leave zeros; anything else but a number is somebody's file, not ours to empty.
        if not re.fullmatch(rb"[0-9\s\0]{0,63}", old):
            raise StartRefused(
                f"{self._path} isn't a pidfile (it holds something else than a number): "
                "set 'pidfile' to another path"
            )
        if not _lock(descriptor, fcntl.LOCK_EX) or not self._still_there(status):
            return False
        os.fchmod(descriptor, 0o600)  # one that an older version left may be wider
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        return True

    def _still_there(self, status: os.stat_result) -> bool:
        # The last holder may have removed the file between our open and our lock.
        try:
            return os.path.samestat(status, self._path.lstat())
        except FileNotFoundError:
            return False


def running_pid(path: Path) -> int | None:
    """The pid of the agent that holds the lock on pidfile `path`; None when nobody holds it.

    Raises:
        OSError: The file is there and can't be opened or locked.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not _lock(descriptor, fcntl.LOCK_SH):
            number = os.pread(descriptor, _LONGEST, 0).strip(b"\0 \n")
            if number.isdigit():
                return int(number)
            # Locked, not written yet: an agent is starting at this moment.
            if time.monotonic() > deadline:
                return None
            time.sleep(_POLL_SECONDS)
        return None
    finally:
        os.close(descriptor)


def holds(pid: int, path: Path) -> bool:
    """Whether process `pid`, as this PID namespace numbers it, holds the lock on pidfile `path`.

    The number in the file alone says little: in a container the agent has another number than
    outside, and what holds the lock need not be an agent.

    Raises:
        PermissionError: The process belongs to another user.
    """
    process = Path("/proc", str(pid))
    with suppress(FileNotFoundError):  # it or one of its files was closed in this moment
        file = path.stat()
        for opened in (process / "fd").iterdir():
            if os.path.samestat(opened.stat(), file):
                return "FLOCK" in (process / "fdinfo" / opened.name).read_text()
    return False


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
