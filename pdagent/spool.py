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
from typing import NamedTuple

import msgspec

from store.records import EventKind

_SUFFIX, _REFUSED = ".event", ".refused"
_LARGEST = 1 << 20  # bytes


class FileRefused(Exception):
    """A file in the spool that isn't taken in; the text says why and holds nothing of it."""


class SpooledEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event as it was sent: `body` is PagerDuty's JSON with its key.

    `occurred` is its time of occurrence, in seconds since 1970 or ISO 8601, or None.
    `job` has the parameters that make it the report of a job, as `POST /send` takes them.
    """

    kind: EventKind
    body: bytes
    idempotency_key: str
    occurred: str | None = None
    job: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"SpooledEvent(kind={self.kind!r})"


def put(directory: Path, event: SpooledEvent) -> None:
    """Store an event durably. Raises `OSError`."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A setgid directory is for a group, whose agent runs as another user than the sender.
    mode = 0o660 if directory.stat().st_mode & stat.S_ISGID else 0o600
    path = directory / f"{time.time_ns():020d}-{os.getpid()}{_SUFFIX}"
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(msgspec.json.encode(event))
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)  # a full disk needs no halves
        raise
    folder = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class Content(NamedTuple):
    """The files of events that `wait`, oldest first, and those that were `refused`."""

    waiting: list[Path]
    refused: list[Path]


def content(directory: Path) -> Content:
    """What is in the spool; nothing if there is no such directory.

    Raises `OSError` if it can't be listed: there may be events in it.
    """
    try:
        paths = sorted(directory.iterdir())
    except FileNotFoundError:
        paths = []
    return Content(*([path for path in paths if path.suffix == end] for end in (_SUFFIX, _REFUSED)))


def read(path: Path) -> tuple[SpooledEvent, int]:
    """The event in a file, and the user id of the file's owner, who sent it.

    Raises:
        FileRefused: It is a link or has more than one name, is not a regular file, is of another
            user and group, larger than 1 MiB, or not an event.
        OSError: It can't be read.
    """
    # The agent's user may read more than the user who wrote the file, so no link is followed.
    # Not blocking: to open a FIFO would wait for a writer.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise FileRefused("it is a symbolic link") from None
        raise
    try:
        status = os.fstat(descriptor)
        _check(status)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(_LARGEST)
    finally:
        os.close(descriptor)
    try:
        return msgspec.json.decode(data, type=SpooledEvent), status.st_uid
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise FileRefused("it isn't a spooled event") from None


def _check(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise FileRefused("it isn't a regular file")
    if status.st_nlink > 1:
        raise FileRefused("it is a link to a file that has another name as well")
    groups = (os.getegid(), *os.getgroups())
    if status.st_uid != os.geteuid() and status.st_gid not in groups:
        raise FileRefused("it belongs neither to the agent's user nor to one of its groups")
    if status.st_size > _LARGEST:
        raise FileRefused("it is larger than 1 MiB")


def set_aside(path: Path) -> Path:
    """Keep a file that can't be taken in, out of the way; returns its new name."""
    return path.rename(path.with_suffix(_REFUSED))
