"""A relay's processes, one after the other: what each is to know of the one before.

One that is no owner any more replaces itself: it starts as a standby.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import NoReturn

import msgspec

from pdagent.relay.rows import RelayRow

_VARIABLE = "PDAGENT_RELAY_PAST"
_PROCESS = "process"


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """What a process passes on to the one that replaces it.

    How often it has taken over and lost the log since it was started, and from when on it may take
    a free lease (`boot_time`).
    """

    takeovers: int = 0
    lost: int = 0
    free_from: float = 0.0


def past_of_this_process() -> Past:
    """What the process before has passed on; only once, so that no child of this one gets it."""
    try:
        return msgspec.json.decode(os.environ.pop(_VARIABLE, "{}"), type=Past)
    except msgspec.MsgspecError:
        return Past()


def process_before(directory: Path, me: RelayRow) -> str:
    """The process that had the copy in `directory` before this one, which has locked it.

    So it has ended, and its lease is worth nothing: a relay that was killed, or whose machine lost
    its power, goes on at once. Empty if there was none, or if the directory comes from elsewhere.
    """
    file, mine = directory / _PROCESS, f"{me.name} {me.process}"
    before = ""
    with contextlib.suppress(OSError, ValueError):
        name, _, process = file.read_text(encoding="ascii").partition(" ")
        before = process if name == me.name else ""
    with contextlib.suppress(OSError):  # then the next one waits until the lease is old
        written = file.with_suffix(".new")
        with written.open("w", encoding="ascii") as new:
            new.write(mine)
            new.flush()
            os.fsync(new.fileno())
        written.replace(file)
        place = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)
    return before


def start_again(past: Past) -> NoReturn:
    """Replace this process: same pid, same command line. From any thread; nothing is closed first.

    A signal to stop that comes before the new program has begun ends it.
    """
    os.environ[_VARIABLE] = msgspec.json.encode(past).decode()
    try:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    except OSError:  # an upgrade has removed the program: the service manager starts the new one
        os._exit(1)
