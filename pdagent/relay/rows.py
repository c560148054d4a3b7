"""What relays write into the engine's table: the lease, and one row for each standby."""

from __future__ import annotations

import re
import secrets
import socket
import time
from collections.abc import Mapping

import msgspec

from pdagent import __version__
from pdagent.config import Config
from store.log import Row

LEASE = "lease"
STANDBYS = "standby."

GONE_AFTER = 30.0
"""Seconds after which a standby that does not write its row any more is not shown."""

_ANY = ("0.0.0.0", "::", "")


class RelayRow(msgspec.Struct, frozen=True, kw_only=True):
    """A relay in the table: as the owner, or as a standby.

    `process` names one run of it, empty in a lease that was given up. `at` is when the row was
    written, `since` when the relay became what it is (seconds since 1970). A standby has applied
    the log up to message `applied`, and knew of `behind` more. It is `fit` if its own disk has room
    for new events.
    """

    name: str = ""
    process: str = ""
    url: str = ""
    version: str = ""
    since: float = 0.0
    at: float = 0.0
    applied: int = 0
    behind: int = 0
    fit: bool = True

    def written(self) -> bytes:
        """The row's value."""
        return msgspec.json.encode(self)


class Standbys:
    """Which standbys still write their rows, also where their clocks are wrong."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, float]] = {}

    def present(self, rows: Mapping[str, Row], now: float, at: float) -> tuple[RelayRow, ...]:
        """Those whose rows have changed in the last `GONE_AFTER` seconds.

        `now` is this relay's steady clock. A row that is seen for the first time is as old as it
        says, by the time of day `at`.
        """
        found, seen = {key: row_in(row) for key, row in rows.items()}, self._seen
        self._seen = {}
        for key, row in rows.items():
            revision, since = seen.get(key, (row.revision, now - max(0.0, at - found[key].at)))
            self._seen[key] = (row.revision, since if revision == row.revision else now)
        return tuple(found[key] for key in rows if now - self._seen[key][1] <= GONE_AFTER)


def row_in(row: Row | None) -> RelayRow:
    """What a row says; an empty one if it is not there or not understood."""
    if row is None:
        return RelayRow()
    try:
        return msgspec.json.decode(row.value, type=RelayRow)
    except msgspec.MsgspecError:
        return RelayRow(process="?")


def this_relay(config: Config) -> RelayRow:
    """The row of this process, which has a name of its own in it."""
    listener = next(
        (listener for listener in config.listeners if not listener.is_local), config.listeners[0]
    )
    host = socket.gethostname() if listener.host in _ANY else listener.host
    scheme = "http" if listener.tls_cert is None else "https"
    shown = f"[{host}]" if ":" in host else host
    plain = re.sub(r"[^A-Za-z0-9-]+", "-", socket.gethostname())
    return RelayRow(
        name=f"{plain}-{listener.port}",
        process=secrets.token_hex(8),
        url=f"{scheme}://{shown}:{listener.port}",
        version=__version__,
        since=time.time(),
    )
