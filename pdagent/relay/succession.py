"""A relay that is no owner any more replaces its process by itself: it starts as a standby."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import msgspec

_VARIABLE = "PDAGENT_RELAY_PAST"


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


def start_again(past: Past) -> NoReturn:
    """Replace this process: same pid, same command line. From any thread; nothing is closed first.

    A signal to stop that comes before the new program has begun ends it.
    """
    os.environ[_VARIABLE] = msgspec.json.encode(past).decode()
    try:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    except OSError:  # an upgrade has removed the program: the service manager starts the new one
        os._exit(1)
