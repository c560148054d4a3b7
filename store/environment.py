"""The journal's directory and its LMDB environment."""

from __future__ import annotations

import logging
import os
import stat
import time
from pathlib import Path

import lmdb

from store.errors import JournalDamagedError, JournalUnavailableError

logger = logging.getLogger(__name__)

DATA_FILE = "data.mdb"
_READERS_FILE = "lock.mdb"
MARKER_FILE = "format"
_MARKER_TEXT = "pdagent journal. Do not edit or delete files here by hand.\n"

_SMALLEST_PAGE = 4096

_MOST_TABLES = 6
_MAX_READERS = 1024
_READERS_FILE_SIZE = 256 + 64 * _MAX_READERS


def prepare_directory(directory: Path) -> None:
    """Create `directory` with mode 0700 if need be; raise `JournalUnavailableError` if unusable.

    One that other users may enter gets mode 0700 if it is empty or a journal's. Otherwise it may
    have another purpose, and is refused.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = directory.stat().st_uid
    except FileExistsError:
        raise JournalUnavailableError(
            f"the journal {directory} is not a directory: move that file away, "
            "or configure another 'database'"
        ) from None
    except OSError as error:
        raise JournalUnavailableError(
            f"the journal {directory} can't be created ({error.strerror}): "
            "create it for this user, or configure another 'database'"
        ) from None
    if owner != os.geteuid():
        raise JournalUnavailableError(
            f"the journal {directory} belongs to user {owner}, this process runs as user "
            f"{os.geteuid()}: start the agent as its owner, or chown -R the directory"
        )
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK) or _is_read_only(directory):
        raise JournalUnavailableError(
            f"the journal {directory} is not writable: mount it read-write and "
            "chmod 0700 it, or configure another 'database'"
        )
    _close_to_others(directory)


def _close_to_others(directory: Path) -> None:
    """The journal holds routing keys: no other user may enter."""
    mode = stat.S_IMODE(directory.stat().st_mode)
    if not mode & 0o077:
        return
    if not (directory / MARKER_FILE).exists() and any(directory.iterdir()):
        raise JournalUnavailableError(
            f"the journal {directory} is open to other users (mode {mode:04o}) and holds other "
            "files: chmod 0700 it if it is meant, or configure another 'database'"
        )
    try:
        directory.chmod(0o700)
    except OSError as error:
        raise unusable(directory, error) from None
    logger.warning(
        "the journal %s was open to other users (mode %04o): its mode is 0700 now", directory, mode
    )


def _is_read_only(directory: Path) -> bool:
    """Root passes every access check, so the mode and the mount are asked as well."""
    read_only_mount = bool(os.statvfs(directory).f_flag & os.ST_RDONLY)
    return read_only_mount or not directory.stat().st_mode & 0o200


def was_created_whole(directory: Path) -> bool:
    """Whether the data file is complete; one whose creation a crash cut off is set aside.

    Such a file (short, or nothing but zeros) never held anything: it is renamed, and a new one is
    begun. Raises `JournalDamagedError` if a complete data file is missing.
    """
    path = directory / DATA_FILE
    complete = (directory / MARKER_FILE).exists()
    if not path.exists():
        if complete:
            raise JournalDamagedError(f"its file {DATA_FILE} is missing", directory=directory)
        return False
    if not complete:
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                is_zero = not any(file.read(2 * 65536))
        except OSError as error:
            raise unusable(directory, error) from None
        if size and (size < 2 * _SMALLEST_PAGE or is_zero):
            path.rename(path.with_name(f"{DATA_FILE}.incomplete-{int(time.time())}"))
    return complete


def open_environment(
    directory: Path, *, map_size: int, readonly: bool = False, metasync: bool = True
) -> lmdb.Environment:
    """Open the environment; every LMDB or system error becomes a `JournalError`.

    Without `metasync`, a commit costs one fsync less, and a crash of the system may undo the last
    one.

    Read-only, it takes no lock and writes nothing, not even a reader table: for a stopped agent's
    journal or a copy.
    """
    try:
        if not readonly:
            _allocate(directory / _READERS_FILE, _READERS_FILE_SIZE)
        return lmdb.open(
            str(directory),
            map_size=map_size,
            max_dbs=_MOST_TABLES,
            max_readers=_MAX_READERS,
            mode=0o600,
            readonly=readonly,
            lock=not readonly,
            create=not readonly,
            readahead=False,
            meminit=False,
            metasync=metasync,
        )
    except (lmdb.InvalidError, lmdb.CorruptedError, lmdb.VersionMismatchError) as error:
        raise JournalDamagedError(f"LMDB says: {error}", directory=directory) from None
    except (lmdb.Error, OSError) as error:
        raise unusable(directory, error) from None


def _allocate(path: Path, size: int) -> None:
    """Give `path` its blocks now.

    LMDB maps its table of readers into memory as a file of holes, and filling a hole on a full disk
    would end the process with SIGBUS; here it raises `OSError`.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)


def unusable(directory: Path, error: Exception) -> JournalUnavailableError:
    """The error for a journal that the system does not let us use."""
    reason = error.strerror if isinstance(error, OSError) else error
    return JournalUnavailableError(
        f"the journal {directory} can't be opened ({reason}): "
        "check the room and the owner of its files, or configure another 'database'"
    )


def mark_complete(directory: Path) -> None:
    """Note durably that the data file has been created whole."""
    path = directory / MARKER_FILE
    if path.exists():
        return
    with path.open("w") as file:
        file.write(_MARKER_TEXT)
        file.flush()
        os.fsync(file.fileno())
    sync_directory(directory)


def give_to_owner_of(journal: Path, *made: Path) -> None:
    """Let what root has made belong to the user of `journal`, as which its agent runs."""
    if os.geteuid() == 0:
        status = journal.stat()
        for path in made:
            os.chown(path, status.st_uid, status.st_gid, follow_symlinks=False)


def sync_directory(directory: Path) -> None:
    """Make a file's new name in `directory` survive a crash of the machine."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
