"""Alerts, commands and mails about stuck pages, pure parts."""

from __future__ import annotations

import asyncio
import sys
import tracemalloc

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.slots import LinkStatus
from pdagent.notify import outage
from pdagent.notify.alerts import OpenAlerts
from pdagent.notify.conditions import Condition
from pdagent.notify.outage import Notice, OutageWatch, mail, run

LETTER = Condition(kind="dead_letters", summary="lost", remedy="look")
FULL = Condition(kind="queue_full", summary="full", remedy="look")


def link(state: str, outage: float) -> LinkStatus:
    return LinkStatus(
        state=state,  # type: ignore[arg-type]
        lasts=0.0,  # the kind of trouble may change all the time
        outage=outage if state in ("failing", "unreachable") else None,
        last_outage=None,
        last_error=None,
        in_flight=0,
        waiting_for_turn=0,
    )


def test_an_alert_is_triggered_once_and_resolved_when_its_condition_has_ended() -> None:
    alerts = OpenAlerts({})
    found = {"dead_letters/1": LETTER, "queue_full/2": FULL}
    changes = alerts.changes(found, 0.0)
    assert [(change.action, change.name) for change in changes] == [
        ("trigger", "dead_letters/1"),
        ("trigger", "queue_full/2"),
    ]
    assert alerts.changes(found, 1.0) == changes  # until they are stored
    for change in changes:
        alerts.sent(change, 1.0)
    assert alerts.changes(found, 2.0) == []
    (resolve,) = alerts.changes({}, 3.0)
    assert (resolve.action, resolve.name) == ("resolve", "dead_letters/1")
    alerts.sent(resolve, 3.0)
    assert alerts.changes({}, 62.0) == []
    assert [change.name for change in alerts.changes({}, 63.0)] == ["queue_full/2"]


def test_a_further_dead_letter_triggers_the_alert_again_once_a_minute_at_most() -> None:
    """Its key is the same: only if people have closed the alert, there is another."""
    alerts = OpenAlerts({"dead_letters/1": 4, "dead_letters/2": 7})
    sent = []
    for second in range(121):
        found = {
            "dead_letters/1": replace(LETTER, count=5 + second),
            "dead_letters/2": replace(LETTER, count=7),
        }
        for change in alerts.changes(found, float(second)):
            alerts.sent(change, float(second))
            sent.append((second, change.action, change.name))
    assert sent == [(second, "trigger", "dead_letters/1") for second in (0, 60, 120)]


def test_a_queue_at_its_limit_does_not_open_an_alert_with_each_delivery() -> None:
    alerts = OpenAlerts({"queue_full/2": 0})
    for second in range(300):
        assert alerts.changes({"queue_full/2": FULL} if second % 2 else {}, second) == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["reachable", "failing", "unreachable", "unknown"]),
            st.floats(0, 2_000),
        )
    )
)
def test_an_outage_is_reported_once_and_so_is_its_end(states: list[tuple[str, float]]) -> None:
    watch = OutageWatch(600)
    news = [watch.news(link(state, lasts)) for state, lasts in states]
    told = [item for item in news if item is not None]
    assert told == ["unreachable", "reachable"] * (len(told) // 2) + ["unreachable"] * (
        len(told) % 2
    )
    for (state, lasts), item in zip(states, news, strict=True):
        if item == "unreachable":
            assert state in ("failing", "unreachable") and lasts >= 600


def test_a_mail_has_its_headers() -> None:
    notice = Notice(news="test", host="web-1", subject="all fine", text="line\n")
    head, _, body = mail(notice, "ops@example.com, night@example.com").partition("\n\n")
    assert "To: ops@example.com, night@example.com" in head.splitlines()
    assert "Subject: all fine" in head.splitlines()
    assert body == "line\n"


@pytest.mark.parametrize(
    ("program", "failure"),
    [
        ("import sys; sys.exit(0 if sys.stdin.read() == 'text' else 1)", None),
        ("print('no route'); raise SystemExit(3)", "ended with status 3: no route"),
        ("import os; os.kill(os.getpid(), 9)", "ended with status -9"),
        ("import os; raise SystemExit('PAGERDUTY_AGENT_SECRET' in os.environ)", None),
    ],
)
def test_a_command_gets_the_text_and_its_failure_is_described(
    program: str, failure: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGERDUTY_AGENT_SECRET", "x")
    outcome = asyncio.run(run([sys.executable, "-c", program], "text", {}))
    assert outcome is None if failure is None else outcome is not None and failure in outcome


def test_a_command_that_does_not_exist_is_described() -> None:
    outcome = asyncio.run(run(["/no/such/program"], "", {}))
    assert outcome == "/no/such/program can't be started: No such file or directory"


def run_as_the_agent(program: str) -> str | None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run([sys.executable, "-c", program], "text", {}))


def test_a_command_that_prints_much_takes_little_memory() -> None:
    program = "import sys\nfor _ in range(500): print('x' * 100_000)\nsys.exit('no route')"
    tracemalloc.start()
    try:
        outcome = run_as_the_agent(program)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert outcome is not None and outcome.endswith("no route")
    assert peak < 5_000_000


def test_what_a_command_leaves_running_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "_CHILD_SECONDS", 8.0)
    left = "import subprocess; subprocess.Popen(['sleep', '10'])"
    assert run_as_the_agent(left) is None
