"""What the dashboard knows: the last answer of the agent, and what changed between answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec

from pdagent.dashboard.findings import Level
from pdagent.dashboard.report import StatusReport
from pdagent.wording import counted, duration, one_line

KEPT = 50


class Happening(msgspec.Struct, frozen=True):
    """A change that an operator wants to notice, and when it was seen."""

    at: datetime
    level: Level
    text: str


def happened(before: StatusReport, after: StatusReport, now: datetime) -> Iterator[Happening]:
    """The difference between two answers; `now` (aware) is when the second came."""
    if before.agent.started_at != after.agent.started_at:
        yield Happening(now, "warning", f"the agent was started again (pid {after.agent.pid})")
    who = after.pagerduty.who
    if before.pagerduty.relay not in (None, after.pagerduty.relay):
        yield Happening(now, "warning", f"delivering to relay {after.pagerduty.relay}")
    was, now_is = before.pagerduty.state, after.pagerduty.state
    if after.pagerduty.is_down and now_is != was:
        why = f": {one_line(after.pagerduty.last_error)}" if after.pagerduty.last_error else ""
        what = "accepts no event" if now_is == "failing" else "can't be reached"
        yield Happening(now, "bad", f"{who} {what}{why}")
    elif now_is == "reachable" != was:
        outage = after.pagerduty.last_outage_seconds
        length = "" if outage is None else f" after {duration(outage)}"
        yield Happening(now, "good", f"{who} is reached{' again' if length else ''}{length}")
    letters = after.totals.dead_lettered - before.totals.dead_lettered
    if letters > 0:
        yield Happening(now, "warning", f"{counted(letters, 'more dead letter')}")
    for why in after.agent.trouble:
        if why not in before.agent.trouble:
            yield Happening(now, "bad", one_line(why))
    if before.agent.trouble and not after.agent.trouble:
        yield Happening(now, "good", "the agent takes events again")
    for why in after.agent.warnings:
        if why not in before.agent.warnings:
            yield Happening(now, "warning", one_line(why))
    old, new = before.agent.queues, after.agent.queues
    if new.quarantined > old.quarantined:
        more = counted(new.quarantined - old.quarantined, "key")
        yield Happening(now, "bad", f"{more} quarantined")
    if new.full > old.full:
        full = counted(new.full - old.full, "key")
        yield Happening(now, "bad", f"{full} full: new events are refused")
    if new.held != old.held:
        what = "held" if new.held > old.held else "released"
        yield Happening(now, "warning", f"{counted(abs(new.held - old.held), 'key')} {what}")


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
        return 0 if self.report is None else self.report.agent.queues.matching

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
