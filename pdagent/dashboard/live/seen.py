"""What the dashboard knows: the last answer of the agent, and whether it still answers."""

from __future__ import annotations

from datetime import datetime

import msgspec

from pdagent.dashboard.live.happenings import KEPT, Happening, happened
from pdagent.dashboard.report import StatusReport


class Lost(msgspec.Struct, frozen=True):
    """The agent has not answered since then; `why` is one line."""

    since: datetime
    why: str


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """`report` holds the rows from number `offset` on, as answered at `at`.

    There is a `backlog` from an outage until nothing waits any more.
    """

    report: StatusReport | None = None
    at: datetime | None = None
    offset: int = 0
    lost: Lost | None = None
    backlog: bool = False
    happenings: tuple[Happening, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows there are in all."""
        if self.report is None:
            return 0
        queues = self.report.agent.queues
        return len(self.report.queues) if queues is None else queues.matching

    def answered(self, report: StatusReport, offset: int, now: datetime) -> Seen:
        """The agent answered."""
        news = list(self.happenings)
        if self.report is not None:
            news += happened(self.report, report, now)
        if self.lost is not None and not any(one.at == now for one in news):
            news.append(Happening(now, "good", "the agent answers again"))
        backlog = self.backlog or report.pagerduty.is_down
        if backlog and report.totals.waiting == 0:
            backlog = False
            news.append(Happening(now, "good", "all events of the outage are delivered"))
        return Seen(
            report=report, at=now, offset=offset, backlog=backlog, happenings=tuple(news[-KEPT:])
        )

    def failed(self, why: str, now: datetime) -> Seen:
        """The agent could not be asked, and why."""
        if self.lost is not None:
            return msgspec.structs.replace(self, lost=Lost(self.lost.since, why))
        news = (*self.happenings, Happening(now, "bad", "the agent does not answer"))
        return msgspec.structs.replace(self, lost=Lost(now, why), happenings=news[-KEPT:])
