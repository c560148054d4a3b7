"""What a relay knows of its hosts. Pure: times are arguments.

`now` is always the relay's steady clock in seconds, which counts the hosts' silence; `at` is the
time of day, for people, in seconds since 1970. Silence counts only while an owner of the relays'
journal listens: hosts don't go missing because there was nobody to report to.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import msgspec

from pdagent.fleet.report import MISSING_AFTER, HostReport

BUCKETS = 64
MOST_HOSTS = 50_000
"""More are not taken: a bucket of so many with the longest reports still fits a message."""

LONG_WAIT = 300.0
"""A host needs attention if its oldest event has waited for longer, in seconds."""

_MOST_VERSIONS = 10


class FleetFull(Exception):
    """A host that is not known yet is one too many."""


class Host(msgspec.Struct, frozen=True):
    """A host's last report: `at` which time of day it came, and when it was `heard`."""

    report: HostReport
    at: float
    heard: float

    def is_missing(self, now: float) -> bool:
        """Whether it has not reported for too long."""
        return now - self.heard > MISSING_AFTER

    @property
    def needs_attention(self) -> bool:
        """Whether its last report says so: trouble, dead letters, or an event that waits long."""
        report = self.report
        waits = report.oldest_waiting_seconds or 0.0
        return bool(report.trouble) or report.dead_letters > 0 or waits > LONG_WAIT

    @property
    def oldest_waiting_at(self) -> float | None:
        """Since when its oldest event has waited, by the relay's clock."""
        age = self.report.oldest_waiting_seconds
        return None if age is None else self.at - age

    def rank(self, now: float) -> tuple[object, ...]:
        """For sorting: what went missing last comes first, then trouble, dead letters, old events.

        Hosts that are fine stand in the order of their names.
        """
        report, missing = self.report, self.is_missing(now)
        return (
            not missing,
            now - self.heard if missing else 0.0,
            not report.trouble,
            -report.dead_letters,
            -(report.oldest_waiting_seconds or 0.0) if self.needs_attention else 0.0,
            report.host,
            report.agent_id,
        )


class SavedHost(msgspec.Struct, frozen=True, array_like=True):
    """A host in the engine's table; `silent` are the seconds since its last report."""

    report: HostReport
    at: float
    silent: float


class FleetSums(msgspec.Struct, frozen=True, kw_only=True):
    """Over all hosts, by their last reports; the most common versions with their hosts."""

    hosts: int = 0
    missing: int = 0
    need_attention: int = 0
    waiting: int = 0
    dead_letters: int = 0
    versions: dict[str, int] = msgspec.field(default_factory=dict)


class Fleet:
    """All hosts that are known, by the id of their agent, in `BUCKETS` parts.

    Changed in the event loop alone; hosts never change, so that other threads may read.
    """

    def __init__(self) -> None:
        self.buckets: list[dict[str, Host]] = [{} for _ in range(BUCKETS)]

    def __len__(self) -> int:
        return sum(map(len, self.buckets))

    def note(self, report: HostReport, *, at: float, now: float) -> None:
        """Take a report. Raises `FleetFull`."""
        bucket = self.buckets[bucket_of(report.agent_id)]
        if report.agent_id not in bucket and len(self) >= MOST_HOSTS:
            raise FleetFull
        bucket[report.agent_id] = Host(report, at, now)

    def hosts(self) -> list[Host]:
        """All hosts, in no order."""
        return list(chain.from_iterable(list(bucket.values()) for bucket in self.buckets))

    def saved(self, bucket: int, now: float) -> list[SavedHost]:
        """One bucket, to be kept."""
        hosts = self.buckets[bucket].values()
        return [SavedHost(host.report, host.at, max(0.0, now - host.heard)) for host in hosts]

    def restore(self, saved: Sequence[SavedHost], now: float) -> None:
        """Take what an earlier owner has kept; what has been heard since then is newer."""
        for each in saved:
            bucket = self.buckets[bucket_of(each.report.agent_id)]
            bucket.setdefault(each.report.agent_id, Host(each.report, each.at, now - each.silent))

    def forget(self, which: Callable[[Host], bool]) -> list[Host]:
        """Forget the hosts for which `which` says so, and return them."""
        gone = [host for host in self.hosts() if which(host)]
        for host in gone:
            del self.buckets[bucket_of(host.report.agent_id)][host.report.agent_id]
        return gone

    def sums(self, now: float) -> FleetSums:
        """The sums over all hosts."""
        hosts = self.hosts()
        missing = [host.is_missing(now) for host in hosts]
        versions = Counter(host.report.version for host in hosts)
        pairs = zip(hosts, missing, strict=True)
        return FleetSums(
            hosts=len(hosts),
            missing=sum(missing),
            need_attention=sum(gone or host.needs_attention for host, gone in pairs),
            waiting=sum(host.report.waiting for host in hosts),
            dead_letters=sum(host.report.dead_letters for host in hosts),
            versions=dict(versions.most_common(_MOST_VERSIONS)),
        )

    def listed(
        self, now: float, *, missing: bool = False, attention: bool = False, match: str = ""
    ) -> list[Host]:
        """Hosts in the order of their need: those that are `missing`, or need `attention`, alone.

        `match` is a part of the host's name, of the agent's id or of its version.
        """
        return sorted(
            self._chosen(now, missing, attention, match.lower()), key=lambda host: host.rank(now)
        )

    def _chosen(self, now: float, missing: bool, attention: bool, match: str) -> Iterator[Host]:
        for host in self.hosts():
            report, gone = host.report, host.is_missing(now)
            if missing and not gone:
                continue
            if attention and not (gone or host.needs_attention):
                continue
            if any(
                match in text.lower() for text in (report.host, report.agent_id, report.version)
            ):
                yield host


def bucket_of(agent_id: str) -> int:
    """The bucket that a host belongs to."""
    return zlib.crc32(agent_id.encode()) % BUCKETS
