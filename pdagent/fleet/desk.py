"""A relay's hosts as HTTP handlers see them: reports come in, lists go out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial

import msgspec

from pdagent.fleet.report import MOST_BYTES, HostReport
from pdagent.fleet.rows import HostPage, HostRow
from pdagent.fleet.table import MOST_HOSTS, Fleet, FleetFull, FleetSums, Host
from pdagent.httpapi.answers import Outcome, error_body
from pdagent.occurrence import utc_timestamp

_FORGET_EVERY = 60.0  # seconds
_FULL_RETRY_AFTER = 300  # seconds
_decode = msgspec.json.Decoder(HostReport).decode
_encode = msgspec.json.Encoder().encode
_NOTED = Outcome(200, b'{"message":"noted"}')


class HostsWanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which hosts: all if nothing is said."""

    missing: bool = False
    attention: bool = False
    match: str = ""
    offset: int = 0
    limit: int | None = None


class FleetDesk:
    """Answers for one relay.

    Hosts report with one of `secrets`. `retention` (seconds) is after how much silence a host is
    forgotten.
    """

    def __init__(self, fleet: Fleet, secrets: Sequence[str], *, retention: float) -> None:
        self._fleet = fleet
        self.secrets = tuple(secrets)
        self._retention = retention

    def report(self, body: bytes, path: str) -> Outcome:
        """Take a host's report, and answer it."""
        if len(body) > MOST_BYTES:
            return Outcome(
                400, error_body(path, 400, f"a host's report has at most {MOST_BYTES:,} bytes")
            )
        try:
            report = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return Outcome(400, error_body(path, 400, f"this is no report of a host: {error}"))
        try:
            self._fleet.note(report, at=time.time(), now=time.monotonic())
        except FleetFull:
            body = error_body(
                path, 503, f"this relay knows {MOST_HOSTS:,} hosts already, and takes no more"
            )
            return Outcome(503, body, _FULL_RETRY_AFTER)
        return _NOTED

    def page(self, wanted: HostsWanted) -> bytes:
        """The JSON of a `HostPage`; sorting thousands of hosts belongs into a thread."""
        now = time.monotonic()
        hosts = self._fleet.listed(
            now, missing=wanted.missing, attention=wanted.attention, match=wanted.match
        )
        end = None if wanted.limit is None else wanted.offset + wanted.limit
        rows = [_row(host, now) for host in hosts[wanted.offset : end]]
        return _encode(HostPage(fleet=self.sums(), matching=len(hosts), hosts=rows))

    def sums(self) -> FleetSums:
        """The sums over all hosts, as they are now."""
        return self._fleet.sums(time.monotonic())

    def forget(self, names: list[str], *, missing: bool) -> tuple[list[str], list[str]]:
        """Forget missing hosts with these names or agents' ids, or all that are `missing`.

        Returns the names of those forgotten, and the names for which there is no missing host.
        """
        now, wanted = time.monotonic(), {name.lower() for name in names}
        gone = self._fleet.forget(
            lambda host: host.is_missing(now) and (missing or not wanted.isdisjoint(_names(host)))
        )
        found = set().union(*map(_names, gone)) if gone else set()
        return [host.report.host for host in gone], [n for n in names if n.lower() not in found]

    async def forget_the_silent_for_ever(self) -> None:
        """Forget hosts after `retention`; runs until it is cancelled."""
        while True:
            await asyncio.sleep(_FORGET_EVERY)
            now = time.monotonic()
            self._fleet.forget(partial(_is_silent, before=now - self._retention))


def _is_silent(host: Host, before: float) -> bool:
    return host.heard < before


def _names(host: Host) -> set[str]:
    return {host.report.host.lower(), host.report.agent_id.lower()}


def _row(host: Host, now: float) -> HostRow:
    report, missing, oldest = host.report, host.is_missing(now), host.oldest_waiting_at
    return HostRow(
        host=report.host,
        agent_id=report.agent_id,
        missing=missing,
        needs_attention=missing or host.needs_attention,
        last_report_at=utc_timestamp(host.at),
        version=report.version,
        waiting=report.waiting,
        oldest_waiting_at=None if oldest is None else utc_timestamp(oldest),
        dead_letters=report.dead_letters,
        held_queues=report.held_queues,
        link=report.link,
        trouble=report.trouble,
        relay=report.relay,
    )
