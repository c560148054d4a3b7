"""The pidfile: the process that holds its lock is the running agent (see `store.lock`).

The number in an unlocked file, left by a crash, means nothing.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pdagent.config import StartRefused
from store.lock import POLL_SECONDS, WIDTH, HeldByOther, hold, refuse_if_locked, write_pid

# Long enough to outlast `running_pid`, which takes the lock for a moment to see whether it is free.
_PATIENCE_SECONDS = 1.0


@contextmanager
def pidfile(path: Path) -> Iterator[None]:
    """Hold the lock on a pidfile for the length of a `with` block, with this process's pid in it.

    The file and, if need be, its folder are made on entry; the file is removed on exit.

    Raises:
        StartRefused: On entry: another process holds the lock, or the path can't be a pidfile.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = hold(path, patience=_PATIENCE_SECONDS)
    except HeldByOther as held:
        raise StartRefused(
            f"the agent is running already{f' (pid {held.pid})' if held.pid else ''}: "
            f"pidfile {path} is locked; 'pagerduty-agent server stop' stops it"
        ) from None
    except OSError as error:
        raise _unusable(path, error) from None
    try:
        _refuse_other_files(descriptor, path)
        try:
            os.fchmod(descriptor, 0o600)  # one that an older version left may be wider
            write_pid(descriptor)
        except OSError as error:
            raise _unusable(path, error) from None
        try:
            yield
        finally:
            # Removed while locked, so that the next agent can't miss a lock on it.
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _unusable(path: Path, error: OSError) -> StartRefused:
    reason = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror or "error"
    return StartRefused(f"can't use the pidfile {path}: {reason}")


def _refuse_other_files(descriptor: int, path: Path) -> None:
    regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
    old = os.pread(descriptor, WIDTH, 0) if regular else b"no file"
    # A crash can leave zeros; anything but a number is another program's file, not ours to empty.
    if not re.fullmatch(rb"[0-9\s\0]{0,63}", old):
        raise StartRefused(
            f"{path} isn't a pidfile (it holds something else than a number): "
            "set 'pidfile' to another path"
        )


def running_pid(path: Path) -> int | None:
    """The pid of the agent that holds the lock on pidfile `path`; None when no process holds it.

    Raises:
        OSError: The file is there and can't be opened or locked.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            refuse_if_locked(path)
        except HeldByOther as held:
            # Locked, not written yet: an agent is starting at this moment.
            if held.pid is not None or time.monotonic() > deadline:
                return held.pid
        else:
            return None
        time.sleep(POLL_SECONDS)


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
