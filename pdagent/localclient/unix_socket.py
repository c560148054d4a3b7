"""The way to the agent on this host that its group may go: a Unix socket."""

from __future__ import annotations

import socket
from pathlib import Path
from struct import pack

from pdagent.localclient.errors import NotPermitted, Unreachable


def connected(path: Path, seconds: int) -> socket.socket:
    """A connection to the socket `path`, made within `seconds`.

    Raises `NotPermitted`, and `Unreachable` or OSError if nothing listens there.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Not a time limit of Python's: without blocking, connecting fails at once (EAGAIN) while
        # many others wait to be accepted, and a busy agent would count as one that is away.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, pack("ll", seconds, 0))
        connection.connect(str(path))
        return connection
    except BaseException as error:
        connection.close()
        match error:
            case PermissionError():
                raise NotPermitted(f"the mode of the socket {path} keeps this user out") from None
            case BlockingIOError():
                raise Unreachable("timed out") from None
            case OSError(errno=None):
                raise Unreachable(str(error)) from None  # of Python: the path is too long
        raise
