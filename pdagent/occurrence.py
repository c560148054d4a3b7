"""When an event happened, as far as the command that sends it can know; times read and written.

Monitoring tools start commands at the same time, and the one about the later event may reach the
agent first.
"""

from __future__ import annotations

import math
import os
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache

# From 2001 on: a smaller number is a mistake, or a date without separators.
_EARLIEST, _LATEST = 1e9, 1e11
_LONGEST_RUN = 3600.0  # seconds


def process_start() -> float:
    """When this process was started, in seconds since 1970 (Linux; elsewhere the time now).

    The kernel gives it in hundredths of a second. Of processes that
    start within the same one, the ids, which grow, give the order.
    """
    now = time.time()
    try:
        with open("/proc/self/stat", "rb") as stat:  # noqa: PTH123 - pathlib is slower
            # Field 22; the second one, the program's name, may contain blanks.
            ticks = int(stat.read().rpartition(b")")[2].split()[19])
        # Between its two clocks a process may have to wait, which makes the difference smaller.
        boot = max(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) for _ in range(3))
        start = boot + ticks / os.sysconf("SC_CLK_TCK") + os.getpid() % 1000 * 1e-5
    except (OSError, ValueError, IndexError, AttributeError):
        return now
    # Some sandboxes know no such time.
    return min(start, now) if start > now - _LONGEST_RUN else now


def read(text: str) -> float | None:
    """Seconds since 1970 from such a number or from ISO 8601 (without a zone UTC), or None."""
    for parse in (float, from_iso):
        with suppress(ValueError, OverflowError, OSError):
            if _EARLIEST <= (seconds := parse(text)) < _LATEST:
                return seconds
    return None


def from_iso(text: str) -> float:
    """Seconds since 1970 from ISO 8601 (without a zone UTC). Raises ValueError or OverflowError."""
    moment = datetime.fromisoformat(text.strip())
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def refined(given: float, start: float, number: int | None = None) -> float:
    """A time `given` in whole seconds, with a fraction that keeps events of one second in order.

    The fraction comes from `number`, which grows with each event, or else from the process's
    `start`. A time with a fraction stays as it is.
    """
    if given % 1:
        return given
    if number is not None:
        return given + number % 10_000 * 1e-6  # less than a command takes: not in the future
    return max(given, min(start, given + 0.999))


def utc_timestamp(seconds: float) -> str:
    """Write `seconds` since the epoch as ISO 8601 in UTC: `2026-08-01T10:00:00.000Z`."""
    return _up_to_the_millisecond(math.floor(seconds * 1000))


@lru_cache(maxsize=64)  # events of a batch share it
def _up_to_the_millisecond(milliseconds: int) -> str:
    whole, rest = divmod(milliseconds, 1000)
    return f"{_up_to_the_second(whole)}.{rest:03d}Z"


@lru_cache(maxsize=16)  # the events and log lines of a second share it
def _up_to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
