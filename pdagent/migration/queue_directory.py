"""The queue directory of PagerDuty's Python agent: which events wait or failed, in their order.

An event is a file `TIME_KEY.txt` (microseconds since 1970, service key) with the JSON of Events API
v1. `pdq` has those that wait, `err` those that failed, `suc` those that were delivered in the last
week. All this holds for versions 1.0 to 1.7.4.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from actors.core.dead_letters import SUPERSEDED_BY
from pdagent.masking import mask
from pdagent.migration import OUTQUEUE

WAITING, FAILED, IMPORTED = "pdq", "err", "imported"
"""Folders of a queue directory; the last one is ours, for the files of imported events."""

_DELIVERED = "suc"
_NAME = re.compile(r"([0-9]{1,18})_(.+)\.txt", re.DOTALL)
_LARGEST = 4 << 20  # the Python agent's own limit
_BOLT_MAGIC, _BOLT_MAGIC_AT = b"\xed\xda\x0c\xed", 16  # behind the head of the first page


class NotAQueue(Exception):
    """What was named is no queue directory; the text is a sentence that says what to name."""


class DirectoryInUse(Exception):
    """Another process takes events out of the directory at this moment."""


class EventFileRefused(Exception):
    """A file that is no event; the text says why."""


class EventFile(NamedTuple):
    """One file: when its event was queued, in microseconds since 1970, and for which key."""

    queued_at: int
    name: str
    folder: str
    key: str

    def __repr__(self) -> str:
        return f"EventFile({self.shown!r})"

    @property
    def shown(self) -> str:
        """Its path in the queue directory, with the key masked."""
        return readable(f"{self.folder}/{self.queued_at}_{mask(self.key)}.txt")

    def idempotency_key(self, body: bytes) -> str:
        """The same for the same event, also after the Python agent has moved its file."""
        return hashlib.sha256(os.fsencode(self.name) + b"\0" + body).hexdigest()


def readable(name: str) -> str:
    """A file's name without the bytes that aren't UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace")


class DirectoryListing(NamedTuple):
    """The events of a queue directory, oldest first, and the files whose names are no event's."""

    events: list[EventFile]
    misnamed: list[str]


def locate(path: Path) -> Path:
    """The queue directory that a user means by `path`: it, or the data directory around it.

    Raises `NotAQueue`, or `OSError` if it can't be read.
    """
    if not path.is_dir():
        with path.open("rb") as file:
            beginning = file.read(_BOLT_MAGIC_AT + len(_BOLT_MAGIC))
        if beginning[_BOLT_MAGIC_AT:] == _BOLT_MAGIC:
            raise NotAQueue(
                f"{path} is go-pdagent's database, which only go-pdagent can read: let it deliver "
                "what waits there; 'pagerduty-agent help moving' says how to do that without a gap"
            )
        raise NotAQueue(f"{path} is a file: name the queue directory, which is {OUTQUEUE}")
    for directory in (path, path / OUTQUEUE.name):
        if (directory / WAITING).is_dir():
            return directory
    where = f"name {path.parent}" if path.name in (WAITING, FAILED) else f"that is {OUTQUEUE}"
    raise NotAQueue(f"{path} is no queue directory of the Python agent: {where}")


def listing(directory: Path) -> DirectoryListing:
    """What waits and what failed, in one order. Raises `OSError`."""
    found = DirectoryListing([], [])
    for folder in (WAITING, FAILED):
        files, others = _files(directory, folder)
        found.events.extend(files)
        found.misnamed.extend(readable(f"{folder}/{name}") for name in others)
    found.events.sort()
    return found


def read(directory: Path, file: EventFile) -> bytes:
    """The event in a file, as JSON.

    Raises:
        EventFileRefused: It is no regular file, or larger than the Python agent accepted.
        OSError: It can't be read.
    """
    # Every user may put files into `pdq`, and the user who imports may read more than they: no
    # link is followed. Not blocking: to open a FIFO would wait for a writer.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW
    try:
        descriptor = os.open(directory / file.folder / file.name, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise EventFileRefused("it is a symbolic link") from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise EventFileRefused("it isn't a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as opened:
            body = opened.read(_LARGEST + 1)
    finally:
        os.close(descriptor)
    if len(body) > _LARGEST:
        raise EventFileRefused("it is larger than 4 MiB")
    return body


class DeliveredKeys:
    """What the Python agent has delivered, or what was imported, of the keys of failed events.

    A failed event can have been superseded: a trigger that is sent after the resolve of its alert
    would open an incident that nothing closes.
    """

    def __init__(self, directory: Path, failed: Iterable[EventFile]) -> None:
        """Read it. Raises `OSError` if a folder can't be read; single files count as not there."""
        since: dict[str, int] = {}
        for file in failed:
            since.setdefault(file.key, file.queued_at)  # they come oldest first
        self._latest: dict[tuple[str, str, str], int] = {}
        for folder in (_DELIVERED, IMPORTED) if since else ():
            for file in _files(directory, folder)[0]:
                if file.queued_at > since.get(file.key, file.queued_at):
                    self._note(directory, file)

    def _note(self, directory: Path, file: EventFile) -> None:
        try:
            alert = _alert(file, read(directory, file))
        except (EventFileRefused, OSError):
            return
        if alert is not None:
            self._latest[alert] = max(file.queued_at, self._latest.get(alert, 0))

    def supersedes(self, file: EventFile, body: bytes) -> bool:
        """Whether to send this failed event now would open or close the wrong incident."""
        alert = _alert(file, body)
        if alert is None:
            return False
        key, incident, action = alert
        later = self._latest.get((key, incident, SUPERSEDED_BY.get(action, "")), 0)
        return later > file.queued_at


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep the Python agent, and other imports, from taking events out for a `with` block.

    The folder for imported files is there afterwards.

    Raises:
        DirectoryInUse: One of them is doing so.
        OSError: The lock file or the folder can't be made.
    """
    (directory / IMPORTED).mkdir(mode=0o700, exist_ok=True)
    if (directory / IMPORTED).is_symlink():
        raise NotADirectoryError(errno.ENOTDIR, "it is a symbolic link", str(directory / IMPORTED))
    path = directory / "dequeue.lock"
    descriptor = _opened(path, directory.stat())
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DirectoryInUse from None
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _opened(path: Path, owner: os.stat_result) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags | os.O_EXCL, 0o644)
    except FileExistsError:
        return os.open(path, flags, 0o644)
    # One that belonged to root, left by a killed import, would stop the Python agent.
    with suppress(PermissionError):
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def set_aside(directory: Path, file: EventFile) -> None:
    """Move the file of an imported event to where no agent looks for events. Raises `OSError`."""
    (directory / file.folder / file.name).rename(directory / IMPORTED / file.name)


def _files(directory: Path, folder: str) -> tuple[list[EventFile], list[str]]:
    files, others = [], []
    try:
        names = sorted(path.name for path in (directory / folder).iterdir())
    except FileNotFoundError:
        names = []
    for name in names:
        match = _NAME.fullmatch(name)
        if match is None:
            others.append(name)
        else:
            files.append(EventFile(int(match[1]), name, folder, match[2]))
    return files, others


def _alert(file: EventFile, body: bytes) -> tuple[str, str, str] | None:
    """Key, incident key and action of an event; None if it has no incident key."""
    try:
        event = json.loads(body)
        incident, action = event["incident_key"], event["event_type"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return (file.key, str(incident), str(action)) if incident else None
