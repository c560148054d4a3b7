"""States, rates and errors in words: one way of saying each, in tables and on the screen."""

from __future__ import annotations

from datetime import datetime

from pdagent.dashboard.report import PagerDutyReport, QueueReport
from pdagent.operating import LONG_ATTEMPT
from pdagent.wording import age, one_line

STYLES = {
    "active": "green",
    "reachable": "green",
    "failing": "bold red",
    "unreachable": "bold red",
    "waits for PagerDuty": "yellow",
    "waits for the relay": "yellow",
    "rate limited": "yellow",
    "backing off": "yellow",
    "sending": "yellow",
    "held": "magenta",
    "quarantined": "bold red",
}
"""How the name of a state is shown, where there are colours."""

_LASTING = ("backing off", "rate limited")


def clock(moment: datetime) -> str:
    """The time of day in UTC, to the second."""
    return moment.strftime("%H:%M:%S")


def rate(per_second: float) -> str:
    """Events in a second: `0.3/s`, `1,204/s`."""
    return f"{per_second:.1f}/s" if per_second < 100 else f"{per_second:,.0f}/s"


def in_short(count: int) -> str:
    """`1.2M`, cut off rather than rounded up; below 100,000, in full."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= max(size, 100_000):
            tenths = count * 10 // size
            return (
                f"{tenths // 10}.{tenths % 10}{unit}"
                if count < 10 * size
                else f"{count // size}{unit}"
            )
    return f"{count:,}"


def name_of(queue: QueueReport) -> str:
    """What the queue is called."""
    return one_line(queue.queue or queue.routing_key)


def state_of(queue: QueueReport, now: datetime, pagerduty: PagerDutyReport | None = None) -> str:
    """The state by its name: a key of `STYLES`, or what a newer agent says.

    `sending` is that of a queue whose attempt takes long.
    """
    if queue.quarantined:
        return "quarantined"
    if queue.held:
        return "held"
    if pagerduty is not None and pagerduty.is_down and queue.pending:
        return f"waits for {pagerduty.who}"
    if takes_long(queue.in_flight_since, now):
        return "sending"
    if queue.deferred_because == "rate_limited":
        return "rate limited"
    return one_line(queue.state.replace("_", " "))


def state_in_words(
    queue: QueueReport,
    now: datetime,
    pagerduty: PagerDutyReport | None = None,
    *,
    speed: bool = False,
) -> str:
    """The state, for how much longer it lasts, and whether the queue is paced.

    With `speed`, also to how many deliveries a minute.
    """
    state = state_of(queue, now, pagerduty)
    if state.startswith("waits for "):
        return state
    left = queue.next_attempt_at
    if state == "sending":
        state += f" for {age(queue.in_flight_since, now)}"
    elif left is not None and left > now and state in _LASTING:
        state = f"{state} {age(now, left)}"
    if not queue.paced:
        return state
    pace = f" {queue.calls_per_minute}/min" if speed and queue.calls_per_minute else ""
    return f"{state}, paced{pace}"


def takes_long(since: datetime | None, now: datetime) -> bool:
    """Whether an attempt that began at `since` is under way for long."""
    return since is not None and (now - since).total_seconds() > LONG_ATTEMPT


def error_of(queue: QueueReport) -> str:
    """The last error on one line, its reason spelled as everywhere, so that it can be searched."""
    return one_line(queue.last_error or "")


def error_and_age(queue: QueueReport, now: datetime) -> str:
    """The last error and how long ago it was, if that is known."""
    if queue.last_error is None or queue.last_error_at is None:
        return error_of(queue)
    return f"{age(queue.last_error_at, now)} ago, {error_of(queue)}"


def is_over(queue: QueueReport) -> bool:
    """Whether something was delivered since the last error, and nothing is amiss now."""
    if queue.last_error_at is None or queue.last_delivered_at is None:
        return False
    return queue.last_delivered_at >= queue.last_error_at and queue.deferred_because is None
