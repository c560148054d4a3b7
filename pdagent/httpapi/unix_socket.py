"""The agent's Unix socket: for its group; the kernel says which user calls."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from struct import Struct

from pdagent.config import StartRefused

_MODE = 0o660
_CREDENTIALS = Struct("3i")  # struct ucred: pid, uid, gid
_PROBE_SECONDS = 1.0


@contextlib.contextmanager
def unix_listener(path: Path, backlog: int) -> Iterator[socket.socket]:
    """A listening socket at `path` for the length of a `with` block; its file goes at the end.

    Its group is the agent's, or that of its directory if that is setgid. A file that an agent left
    behind is replaced.

    Raises:
        StartRefused: On entry: the socket can't be had.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            _remove_stale(path)
            os.fchmod(listener.fileno(), _MODE)  # Linux: never wider, not even for a moment
            listener.bind(str(path))
            path.chmod(_MODE)  # whatever the umask is
            listener.listen(backlog)
        except OSError as error:
            raise StartRefused(
                f"can't listen on the socket {path} ({error.strerror or error}): "
                "see who may write to its directory, or set another 'socket'"
            ) from None
        made = path.stat()
        try:
            yield listener
        finally:
            with contextlib.suppress(OSError):
                # Another file there is somebody else's.
                if os.path.samestat(made, path.lstat()):
                    path.unlink()
    finally:
        listener.close()


def _remove_stale(path: Path) -> None:
    """Remove a socket on which nobody listens. Raises `StartRefused` for anything else."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise StartRefused(f"{path} is there and is no socket: remove it, or set another 'socket'")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except (TimeoutError, BlockingIOError):
            pass  # it listens, if slowly
    raise StartRefused(
        f"another agent listens on the socket {path}: stop it, or set another 'socket'"
    )


def peer_uid(transport: asyncio.BaseTransport) -> int | None:
    """The user id at the other end of a Unix socket when it connected; None for TCP."""
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family != socket.AF_UNIX:
        return None
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(found)
    return int(uid)
