"""What changed from one answer of the agent to the next, in a few words each: pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec

from pdagent.dashboard.findings import Level
from pdagent.dashboard.report import StatusReport
from pdagent.wording import counted, duration, one_line

KEPT = 50


class Happening(msgspec.Struct, frozen=True):
    """Something that a person at night would want to know had happened, and when it was seen."""

    at: datetime
    level: Level
    text: str


def happened(before: StatusReport, after: StatusReport, now: datetime) -> Iterator[Happening]:
    """The difference between two answers; `now` (aware) is when the second came."""
    if before.agent.started_at != after.agent.started_at:
        yield Happening(now, "warning", f"the agent was started again (pid {after.agent.pid})")
    was, now_is = before.pagerduty.state, after.pagerduty.state
    if after.pagerduty.is_down and now_is != was:
        why = f": {one_line(after.pagerduty.last_error)}" if after.pagerduty.last_error else ""
        what = "accepts no event" if now_is == "failing" else "can't be reached"
        yield Happening(now, "bad", f"PagerDuty {what}{why}")
    elif now_is == "reachable" != was:
        outage = after.pagerduty.last_outage_seconds
        length = "" if outage is None else f" after {duration(outage)}"
        yield Happening(now, "good", f"PagerDuty is reached{' again' if length else ''}{length}")
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
    if old is not None and new is not None:
        if new.quarantined > old.quarantined:
            more = counted(new.quarantined - old.quarantined, "key")
            yield Happening(now, "bad", f"{more} quarantined")
        if new.full > old.full:
            full = counted(new.full - old.full, "key")
            yield Happening(now, "bad", f"{full} full: new events are refused")
        if new.held != old.held:
            what = "held" if new.held > old.held else "released"
            yield Happening(now, "warning", f"{counted(abs(new.held - old.held), 'key')} {what}")
