"""What is known of jobs that report their ends: is the alert open, is a success expected?"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from store.records import EventAccepted, Expectation

MOST_JOBS = 1_000
"""Of one queue. Beyond that, those that owe nothing are forgotten, then no more is expected."""


class Job(msgspec.Struct, kw_only=True):
    """One job, known by the dedup key of its alert.

    `alert_open`: its last report was a failure, or it did not report in time.
    """

    alert_open: bool
    expected: Expectation | None = None


class Jobs(dict[str, Job]):
    """By dedup key, in the order in which they became known. `note` alone changes it."""

    def is_closed(self, dedup_key: str) -> bool:
        """Whether a resolve has nothing to resolve. An alert that is unknown may be open."""
        job = self.get(dedup_key)
        return job is not None and not job.alert_open

    def takes(self, dedup_key: str) -> bool:
        """Whether this job can be expected: there is a limit, but those that are expected stay."""
        return dedup_key in self or len(self) < MOST_JOBS or any(self._owing_nothing())

    def next_deadline(self) -> float | None:
        """When the next job is overdue, in seconds since 1970; None if none is expected."""
        if not self:
            return None  # as of nearly every queue, after each message
        return min((job.expected.by for job in self.values() if job.expected), default=None)

    def overdue(self, now: float) -> list[tuple[str, Expectation]]:
        """The jobs that have not reported a success in time, the first deadline first."""
        expected = [(key, job.expected) for key, job in self.items() if job.expected]
        return sorted((each for each in expected if each[1].by <= now), key=lambda each: each[1].by)

    def note(self, event: EventAccepted) -> None:
        """A report, the alert about a missing one, or another event of a job's alert came in."""
        job = self.get(event.dedup_key)
        if job is None:
            if event.job is None:
                return
            job = self[event.dedup_key] = Job(alert_open=False)
        if event.action in ("trigger", "resolve"):
            job.alert_open = event.action == "trigger"
        if event.job is not None:
            expected = event.job.expected
            # A failure is no success: the time goes on that began with the last one.
            goes_on = event.action == "trigger" and expected and job.expected
            job.expected = job.expected if goes_on else expected
        elif job.expected is not None and job.expected.event == event.event:
            job.expected = None
        if len(self) > MOST_JOBS:
            forgotten = next(self._owing_nothing(but=event.dedup_key), event.dedup_key)
            del self[forgotten]

    def _owing_nothing(self, but: str = "") -> Iterator[str]:
        """Jobs that can be forgotten: their next success is delivered, though it need not be."""
        return (
            key
            for key, job in self.items()
            if key != but and job.expected is None and not job.alert_open
        )
