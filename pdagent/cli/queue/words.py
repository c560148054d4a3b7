"""What a record says, in words: for `queue show`, `queue tail` and `journal dump`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pdagent.wording import counted

Json = Mapping[str, object]

STYLES = {
    "accepted": "",
    "delivered": "green",
    "deferred": "yellow",
    "dead letter": "bold red",
    "discarded": "magenta",
    "held": "magenta",
    "restarted": "bold red",
    "missed": "bold red",
}
WIDEST = max(map(len, STYLES))


def told(record: Json) -> tuple[str, str]:
    """What happened, in a word or two and in a line of details.

    `record` is an entry of an event's `history`, or a line of the agent's tail; one that this
    version doesn't know shows as it is.
    """
    get = record.get
    match get("record"):
        case "EventAccepted":
            return "accepted", _joined(
                str(get("summary") or ""),
                kind_of(record.get("kind"), record.get("action")),
                f"from {get('source')}" if get("source") else "",
                f"occurred at {get('occurred_at')}" if get("occurred_at") else "",
                _job(get("job")),
                *_texts(get("warnings")),
            )
        case "DeliveryStarted":
            return "attempt", f"{get('attempt')} started"
        case "DeliveryDeferred":
            # While no key gets through, the shared probe decides when.
            probes = get("reason") in ("unreachable", "loop") or get("link_failing")
            again = "" if probes else f"; again at {get('retry_at')}"
            return "deferred", f"{_failure(record)}{again}"
        case "EventDelivered":
            return "delivered", f"{_attempt(record)}HTTP {get('status')} after {get('seconds')} s"
        case "EventDeadLettered":
            return "dead letter", _failure(record)
        case "EventRetried":
            return "retried", "by an operator, forced" if get("forced") else "by an operator"
        case "EventDiscarded":
            return "discarded", _reason(record)
        case "QueueHeld":
            return "held", _reason(record)
        case "QueueReleased":
            return "released", ""
        case "ActorRestarted":
            return "restarted", _reason(record)
        case "Missed":
            return "missed", f"{get('count')} transitions: this terminal reads too slowly"
        case unknown:
            rest = [f"{name}={value}" for name, value in record.items() if name not in _HEAD]
            return str(unknown), " ".join(rest)


def kind_of(kind: object, action: object) -> str:
    """What sort of event it is: `v2 trigger`, `change`."""
    return f"{kind} {action}" if action and action != kind else str(kind)


def told_briefly(history: Sequence[Json]) -> Iterator[tuple[str, str, str]]:
    """A history as (time, word, rest); an attempt whose end is recorded is one line.

    Of a long one, only the first and the last lines.
    """
    lines: list[Json] = []
    for record in history:
        if lines and lines[-1].get("record") == "DeliveryStarted" and record.get("record") in _ENDS:
            record = {**record, "attempt": lines.pop().get("attempt")}
        lines.append(record)
    left_out = max(0, len(lines) - 2 * _TOLD_AT_EACH_END)
    for place, record in enumerate(lines):
        if place == _TOLD_AT_EACH_END and left_out:
            yield "", "", f"... {counted(left_out, 'more line')}; --json shows them all"
        if not _TOLD_AT_EACH_END <= place < _TOLD_AT_EACH_END + left_out:
            yield (str(record.get("at")), *told(record))


_TOLD_AT_EACH_END = 20
_ENDS = ("DeliveryDeferred", "EventDelivered", "EventDeadLettered")
_HEAD = ("at", "record", "queue", "id", "seq")


def _failure(record: Json) -> str:
    detail = record.get("detail")
    head = f"{_attempt(record)}{record.get('reason')} after {record.get('seconds')} s"
    return f"{head}: {detail}" if detail else head


def _attempt(record: Json) -> str:
    return f"attempt {record['attempt']}: " if record.get("attempt") else ""


def _job(report: object) -> str:
    if not isinstance(report, dict):
        return ""
    by = report.get("expected_by")
    return f"report of a job, next success expected by {by}" if by else "report of a job"


def _reason(record: Json) -> str:
    return str(record.get("reason") or "")


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)
