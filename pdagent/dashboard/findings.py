"""What is wrong, worst first, and what to do about it: what an operator reads first."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from pdagent.dashboard.report import StatusReport
from pdagent.dashboard.words import takes_long
from pdagent.wording import age, counted, one_line

Level = Literal["bad", "warning", "good"]

STYLES: dict[Level, str] = {"bad": "bold red", "warning": "yellow", "good": "green"}


class Finding(msgspec.Struct, frozen=True):
    """One sentence, and the command that helps, if one does."""

    level: Level
    text: str
    command: str = ""

    def __str__(self) -> str:
        return f"{self.text}: {self.command}" if self.command else f"{self.text}."


def findings(report: StatusReport, now: datetime) -> list[Finding]:
    """At least one; a single one of level `good` if nothing is amiss."""
    totals, queues = report.totals, report.agent.queues
    found = [Finding("bad", f"Not ready: {one_line(why)}") for why in report.agent.trouble]
    down = report.pagerduty.is_down
    if down:
        # A single event that waits is the one that finds out when PagerDuty is back.
        wait = "1 event is kept" if totals.waiting == 1 else f"{totals.waiting:,} events are kept"
        back = "is back" if report.pagerduty.state == "unreachable" else "accepts events again"
        found.append(Finding("bad", f"{wait}; delivery resumes when {report.pagerduty.who} {back}"))
    if queues.full:
        verb, whose = ("is", "its") if queues.full == 1 else ("are", "their")
        text = (
            f"{_which(queues.full, queues.full_queue)} {verb} full: {whose} new events are refused"
        )
        found.append(Finding("bad", f"{text} ('pagerduty-agent help full-queue')"))
    if queues.quarantined:
        keys = _which(queues.quarantined, queues.quarantined_queue)
        found.append(Finding("bad", f"{keys} quarantined after failures", "see the agent's log"))
    if totals.dead_lettered:
        letters = counted(totals.dead_lettered, "dead letter")
        command = "pagerduty-agent queue list --state dead_lettered"
        if queues.with_dead_letters == 1 and queues.dead_letters_queue:
            letters += f" of {one_line(queues.dead_letters_queue)}"
            command += f" -k {_argument(queues.dead_letters_queue)}"
        found.append(Finding("warning", letters, command))
    found += [Finding("warning", f"Warning: {one_line(why)}") for why in report.agent.warnings]
    if queues.held:
        keys = f"{_which(queues.held, queues.held_queue)} held by an operator"
        command = f"pagerduty-agent queue release -k {_argument(queues.held_queue or 'KEY')}"
        found.append(Finding("warning", keys, command))
    if not down and queues.backing_off:
        verb = "waits" if queues.backing_off == 1 else "wait"
        keys = _which(queues.backing_off, queues.backing_off_queue)
        text = f"{keys} {verb} after failed deliveries or rate limits, see below"
        found.append(Finding("warning", text))
    if not down and takes_long(queues.longest_in_flight_since, now):
        name = one_line(queues.longest_in_flight_queue or "a key")
        took = age(queues.longest_in_flight_since, now)
        text = (
            f"No answer from {report.pagerduty.who} for {took} to an event of {name}; if none "
            "comes, the event"
        )
        found.append(Finding("warning", f"{text} is sent again"))
    return found or [Finding("good", _all_is_well(report))]


def _which(count: int, name: str | None) -> str:
    """The key if it is one, else how many, and one of them."""
    if name is None:
        return counted(count, "key")
    return one_line(name) if count == 1 else f"{count:,} keys (such as {one_line(name)})"


def _argument(name: str) -> str:
    """A key's name or mask for a command line."""
    plain = one_line(name)
    return plain if plain.replace("-", "").replace("_", "").isalnum() else f"'{plain}'"


def _all_is_well(report: StatusReport) -> str:
    if report.totals.accepted == 0:
        return "Ready. No event has come yet"
    if report.totals.waiting == 0:
        return "All is well, everything is delivered"
    return "All is well, events are being delivered"
