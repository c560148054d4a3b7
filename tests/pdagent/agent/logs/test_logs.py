"""The server's log: its two formats, masked credentials, a line for each transition, outages."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import Any

import pytest

from pdagent.agent.logs import Lines
from pdagent.agent.logs.thread import LogThread
from pdagent.agent.logs.transitions import SAY_AGAIN_AFTER, TransitionLog
from pdagent.config import Config
from store.records import (
    ActorRestarted,
    DeliveryDeferred,
    DeliveryStarted,
    EventAccepted,
    EventDeadLettered,
    EventDelivered,
    EventDiscarded,
    EventId,
    EventRetried,
    QueueHeld,
    QueueId,
    QueueReleased,
    Record,
)
from tests.agent_process import REPOSITORY

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"
SECRET = 'a "secret" with\\odd letters'
EVENT = EventId("019c0000-0000-7000-8000-000000000001")
AT = 1_785_542_400.25


class Log:
    """What observers of an agent with `log_format` write."""

    def __init__(self, log_format: str = "console", secret: str = SECRET) -> None:
        self.stream = io.StringIO()
        config = Config(secret=secret, log_format=log_format)  # type: ignore[arg-type]
        self.thread = LogThread(self.stream)
        self.observe = TransitionLog(self.thread, Lines(config), lambda queue: f"queue-{queue}")

    def lines(self, *records: Record) -> list[str]:
        """The lines that these make, without what was written before."""
        self.stream.seek(0)
        self.stream.truncate()
        for record in records:
            self.observe(QueueId(7), [record])
        return self.stream.getvalue().splitlines()


def accepted(at: float = AT) -> EventAccepted:
    return EventAccepted(
        event=EVENT,
        position=1,
        kind="v2",
        action="trigger",
        dedup_key="d",
        body=b"{}",
        at=at,
        source="curl (uid 998)",
    )


def failed(at: float, reason: Any = "unreachable", detail: str = "refused") -> DeliveryDeferred:
    return DeliveryDeferred(
        event=EVENT, reason=reason, detail=detail, retry_at=at + 2, seconds=0.5, at=at
    )


def delivered(at: float) -> EventDelivered:
    return EventDelivered(event=EVENT, status=202, seconds=0.125, at=at)


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (
            accepted(),
            "INFO    accepted event=ID queue=queue-7 kind=v2 action=trigger "
            'source="curl (uid 998)"',
        ),
        (delivered(AT), "INFO    delivered event=ID queue=queue-7 status=202 seconds=0.125"),
        (
            failed(AT, "rate_limited", "HTTP 429"),
            "INFO    deferred event=ID queue=queue-7 reason=rate_limited "
            'detail="HTTP 429" seconds=0.500 retry_in=2.000',
        ),
        (
            EventDeadLettered(event=EVENT, reason="http_400", detail="no", seconds=0.1, at=AT),
            "WARNING dead_lettered event=ID queue=queue-7 reason=http_400 detail=no "
            'seconds=0.100 see="pagerduty-agent queue show ID"',
        ),
        (
            EventRetried(event=EVENT, position=4, forced=True, at=AT),
            "INFO    retried event=ID queue=queue-7 forced=True",
        ),
        (
            EventDiscarded(event=EVENT, reason="by an operator", at=AT),
            'INFO    discarded event=ID queue=queue-7 reason="by an operator"',
        ),
        (QueueHeld(reason="maintenance", at=AT), "INFO    held queue=queue-7 reason=maintenance"),
        (QueueReleased(at=AT), "INFO    released queue=queue-7"),
        (
            ActorRestarted(reason="failed", at=AT),
            "WARNING the outcome of an attempt is unknown, its event is sent again queue=queue-7 "
            "reason=failed",
        ),
    ],
)
def test_each_transition_is_a_line_with_event_queue_and_verdict(record: Record, line: str) -> None:
    assert Log().lines(record) == [f"2026-08-01T00:00:00.250Z {line.replace('ID', EVENT)}"]


def test_json_has_the_same_fields() -> None:
    (line,) = Log("json").lines(failed(AT, "server_error", "HTTP 503"))
    assert json.loads(line) == {
        "at": "2026-08-01T00:00:00.250Z",
        "level": "info",
        "logger": "pdagent.agent.logs.transitions",
        "message": "deferred",
        "event": EVENT,
        "queue": "queue-7",
        "reason": "server_error",
        "detail": "HTTP 503",
        "seconds": 0.5,
        "retry_in": 2.0,
    }


def test_the_beginning_of_a_delivery_has_no_line() -> None:
    assert Log().lines(DeliveryStarted(event=EVENT, attempt=1, at=AT)) == []


def test_an_outage_is_told_once_then_once_a_minute_with_counts_and_when_it_ends() -> None:
    log = Log()
    (began,) = log.lines(*[failed(AT + n) for n in range(60)])
    assert "WARNING PagerDuty can't be reached (refused): events are kept" in began
    (still,) = log.lines(*[failed(AT + n) for n in range(60, 120)])
    assert "PagerDuty can't be reached (refused) for 60 s, 61 attempts" in still
    ended, after = log.lines(delivered(AT + 125))
    assert "PagerDuty accepts events again after 125 s, 120 attempts failed" in ended
    assert " delivered event=" in after
    assert len(log.lines(delivered(AT + 126))) == 1


def test_a_flapping_link_is_told_of_once_a_minute() -> None:
    log = Log()
    lines = log.lines(
        *[record for n in range(100) for record in (failed(AT + n), delivered(AT + n + 0.5))]
    )
    told = [line for line in lines if "PagerDuty" in line]
    assert len(told) <= 2 * (1 + 100 // SAY_AGAIN_AFTER)
    assert len([line for line in lines if " delivered " in line]) == 100


def test_a_refusal_by_pagerduty_ends_an_outage_as_well() -> None:
    log = Log()
    log.lines(failed(AT))
    rejected = EventDeadLettered(event=EVENT, reason="http_400", detail="", seconds=0, at=AT + 9)
    assert "accepts events again after 9 s, 1 attempts failed" in log.lines(rejected)[0]


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_credentials_are_masked_in_whatever_a_transition_says(log_format: str) -> None:
    log = Log(log_format)
    text = f"key {KEY} and {SECRET}"
    lines = log.lines(
        failed(AT, "server_error", text),
        failed(AT, detail=text),
        EventDeadLettered(event=EVENT, reason="http_400", detail=text, seconds=0, at=AT),
        EventDiscarded(event=EVENT, reason=text, at=AT),
        QueueHeld(reason=text, at=AT),
        ActorRestarted(reason=text, at=AT),
    )
    assert len(lines) == 7
    shown = "\n".join(lines)
    assert KEY not in shown
    assert "secret" not in shown
    assert shown.count("v4g5…nvj9 and …") == 6


def test_a_line_stays_one_line_whatever_is_in_it() -> None:
    for log_format in ("console", "json"):
        log = Log(log_format)
        log.lines(failed(AT, "server_error", "a\nb\r\x1b[2J\u2028c"))
        line, end = log.stream.getvalue().split("\n")
        assert end == ""
        assert "\x1b" not in line
        assert "\r" not in line


PROGRAM = """
import logging, sys, threading, warnings
from pdagent.config import Config
from pdagent.agent.logs import set_up_logging
key, secret, log_format = sys.argv[1:]
log = set_up_logging(Config(secret=secret, log_format=log_format))
log.start()

def fail():
    raise ValueError(f"no {key} and {secret}")

logging.getLogger("a").error("argument %s", key)
logging.getLogger("a").info("secret %s", secret)
logging.getLogger("a").info("bad arguments %d", key)
warnings.warn(f"careful with {key}")
try:
    fail()
except ValueError:
    logging.getLogger("a").exception("caught")
thread = threading.Thread(target=fail, name="busy")
thread.start()
thread.join()

class Grumpy:
    def __del__(self):
        fail()

Grumpy()
log.stop()
fail()
"""


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_credentials_are_masked_in_tracebacks_even_of_what_nobody_caught(log_format: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, KEY, SECRET, log_format],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert KEY not in done.stdout + done.stderr
    assert "odd letters" not in done.stdout + done.stderr
    assert "argument v4g5…nvj9" in done.stderr
    assert "can't be written: TypeError" in done.stderr
    assert "careful with v4g5…nvj9" in done.stderr
    assert "the thread busy fails" in done.stderr
    assert "the agent fails" in done.stderr
    assert done.stderr.count("ValueError: no v4g5…nvj9 and …") == 4
    if log_format == "json":
        lines = [json.loads(line) for line in done.stderr.splitlines()]
        assert sum("Traceback" in line.get("traceback", "") for line in lines) >= 4
