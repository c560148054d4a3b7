"""What the dashboard remembers from answer to answer, what it finds wrong, and its charts."""

from __future__ import annotations

import io
from datetime import timedelta

import msgspec
import pytest
from rich.console import Console

from pdagent.dashboard.figures import Sparkline
from pdagent.dashboard.findings import findings
from pdagent.dashboard.live.seen import Seen
from pdagent.dashboard.report import StatusReport
from tests.pdagent.dashboard.reports import EMPTY, NOW, OUTAGE, WELL, agent

replace = msgspec.structs.replace
LATER = NOW + timedelta(seconds=5)


def told(seen: Seen) -> list[str]:
    return [happening.text for happening in seen.happenings]


def test_an_outage_is_told_of_as_it_begins_ends_and_has_been_worked_off() -> None:
    before = replace(OUTAGE, pagerduty=WELL.pagerduty)
    back = replace(OUTAGE, pagerduty=replace(WELL.pagerduty, last_outage_seconds=67.0))
    drained = replace(back, totals=replace(back.totals, waiting=0))
    seen = Seen()
    for report in (before, OUTAGE, OUTAGE, back, drained, drained):
        seen = seen.answered(report, 0, NOW)
    assert told(seen) == [
        "PagerDuty can't be reached: events.pagerduty.com:443: Connection refused",
        "PagerDuty is reached again after 1m07s",
        "all events of the outage are delivered",
    ]


def test_a_lost_agent_is_lost_since_the_first_time_and_its_return_is_told_once() -> None:
    lost = Seen().answered(WELL, 0, NOW).failed("refused", NOW).failed("timed out", LATER)
    assert lost.lost is not None
    assert (lost.lost.since, lost.lost.why) == (NOW, "timed out")
    assert told(lost) == ["the agent does not answer"]
    restarted = agent(pid=9, started_at=LATER, queues=WELL.agent.queues)
    same, new = lost.answered(WELL, 0, LATER), replace(WELL, agent=restarted)
    assert told(same)[1:] == ["the agent answers again"]
    assert told(lost.answered(new, 0, LATER))[1:] == ["the agent was started again (pid 9)"]
    assert same.lost is None


def test_dead_letters_holds_quarantine_and_trouble_are_told() -> None:
    assert OUTAGE.agent.queues is not None
    worse = replace(
        OUTAGE,
        totals=replace(OUTAGE.totals, dead_lettered=5),
        agent=agent(
            trouble=("the journal is full",),
            queues=replace(OUTAGE.agent.queues, held=0, quarantined=2, full=1),
        ),
    )
    seen = Seen().answered(OUTAGE, 0, NOW).answered(worse, 0, NOW)
    assert told(seen) == [
        "3 more dead letters",
        "the journal is full",
        "2 keys quarantined",
        "1 key full: new events are refused",
        "1 key released",
    ]
    assert told(seen.answered(OUTAGE, 0, NOW))[5:] == ["the agent takes events again", "1 key held"]


def found(report: StatusReport) -> list[str]:
    return [str(finding) for finding in findings(report, NOW)]


def test_what_is_wrong_is_said_worst_first_with_the_command_that_helps() -> None:
    report = replace(OUTAGE, agent=replace(OUTAGE.agent, trouble=("the journal is full",)))
    assert found(report) == [
        "Not ready: the journal is full.",
        "1,200 events are kept; delivery resumes when PagerDuty is back.",
        "2 dead letters: pagerduty-agent queue list --state dead_lettered",
        "1 key held by an operator: pagerduty-agent queue release -k KEY",
    ]


@pytest.mark.parametrize(
    ("full", "name", "says"),
    [
        (1, "database", "database is full: its new events are refused"),
        (2, "database", "2 keys (such as database) are full: their new events are refused"),
    ],
)
def test_keys_that_refuse_events_are_told_of(full: int, name: str, says: str) -> None:
    assert WELL.agent.queues is not None
    queues = replace(WELL.agent.queues, full=full, full_queue=name)
    (finding,) = found(replace(WELL, agent=agent(queues=queues)))
    assert finding == f"{says} ('pagerduty-agent help full-queue')."


@pytest.mark.parametrize(
    ("report", "says"),
    [
        (EMPTY, "Ready. No event has come yet."),
        (WELL, "All is well, everything is delivered."),
        (replace(WELL, totals=replace(WELL.totals, waiting=3)), "events are being delivered."),
    ],
)
def test_if_nothing_is_wrong_that_is_said(report: StatusReport, says: str) -> None:
    (finding,) = found(report)
    assert finding.endswith(says)


def chart(*values: float, width: int = 8, **options: object) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as capture:
        console.print(Sparkline(values, width, **options))  # type: ignore[arg-type]
    return capture.get().rstrip("\n")


def test_a_chart_ends_with_the_latest_value_and_begins_with_blanks() -> None:
    assert chart(0, 7, 3.5) == "     ▁█▅"
    assert chart() == " " * 8
    assert chart(0, 0) == "      ▁▁"


def test_only_nothing_is_drawn_as_nothing() -> None:
    assert chart(1, 10_000)[-2:] == "▂█"


def test_values_share_columns_when_there_are_more_of_them() -> None:
    assert chart(*[9] * 8, *[1] * 8, width=8) == "█" * 4 + "▂" * 4
    assert chart(0, 1, 0, 1, 8, 0, width=3, together=max) == "▂▂█"
    assert chart(*[1] * 15, width=8) == " " + "█" * 7  # the oldest value would stand alone
    for width in (10, 41, 59, 60, 61, 99, 120, 200):
        shown = chart(*[1] * 120, width=width)
        assert len(shown) == width
        assert shown.count(" ") <= max(width - 120, width // 3)
