"""Events that were sent while the agent was down: one file each, taken in when it runs again.

Only used where `spool` is configured. Files are written whole (temporary name, fsync, rename) and
removed once the agent has the event on disk; an Idempotency-Key in the file makes a repetition
harmless. The names begin with the time, so that order is kept.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path
from typing import Literal

import msgspec

_SUFFIX = ".event"


class SpooledEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event as it was sent: `body` is PagerDuty's JSON with its key."""

    kind: Literal["v1", "v2", "change"]
    body: bytes
    idempotency_key: str

    def __repr__(self) -> str:
        return f"SpooledEvent(kind={self.kind!r})"


def put(directory: Path, event: SpooledEvent) -> None:
    """Store an event durably. Raises `OSError`."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / f"{time.time_ns():020d}-{os.getpid()}{_SUFFIX}"
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(event))
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    folder = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def waiting(directory: Path) -> list[Path]:
    """The files of events that wait, oldest first; none if there is no such directory.

    Raises `OSError` if it can't be listed: there may be events in it.
    """
    try:
        return sorted(path for path in directory.iterdir() if path.suffix == _SUFFIX)
    except FileNotFoundError:
        return []


def read(path: Path) -> SpooledEvent | None:
    """The event in a file, or None if it can't be understood. Raises `OSError`."""
    # Not blocking: to open a FIFO would wait for whoever writes to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        content = file.read()
    try:
        return msgspec.json.decode(content, type=SpooledEvent)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def set_aside(path: Path) -> Path:
    """Keep a file that can't be taken in, out of the way; returns its new name."""
    return path.rename(path.with_suffix(".refused"))
