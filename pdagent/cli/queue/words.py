"""What a record says, in words: for `queue show`, `queue tail` and `journal dump`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

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
                *_texts(get("warnings")),
            )
        case "DeliveryStarted":
            return "attempt", f"{get('attempt')} started"
        case "DeliveryDeferred":
            # While no key gets through, the shared probe decides when.
            probes = get("reason") == "unreachable" or get("link_failing")
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
    """A history as (time, word, rest), one for each attempt.

    The start of an attempt is left out once its end is recorded. Of many attempts in a
    row that failed in the same way, only the first and the last ones are shown.
    """
    lines: list[Json] = []
    attempt: Json | None = None
    for record in history:
        if record.get("record") in _ENDS and attempt is not None:
            lines.append({**record, "attempt": attempt.get("attempt")})
            attempt = None
            continue
        if attempt is not None:
            lines.append(attempt)
        attempt = record if record.get("record") == "DeliveryStarted" else None
        if attempt is None:
            lines.append(record)
    if attempt is not None:
        lines.append(attempt)
    for _, group in groupby(lines, key=_sameness):
        alike = list(group)
        left_out = len(alike) - 2 * _TOLD_OF_ALIKE
        for place, record in enumerate(alike):
            if left_out <= 1 or not _TOLD_OF_ALIKE <= place < len(alike) - _TOLD_OF_ALIKE:
                yield (str(record.get("at")), *told(record))
            elif place == _TOLD_OF_ALIKE:
                yield "", "", f"... {left_out:,} more attempts failed alike; --json lists them all"


def _sameness(record: Json) -> object:
    names = ("record", "reason", "detail")
    deferred = record.get("record") == "DeliveryDeferred"
    return tuple(record.get(name) for name in names) if deferred else id(record)


_TOLD_OF_ALIKE = 3
_ENDS = ("DeliveryDeferred", "EventDelivered", "EventDeadLettered")
_HEAD = ("at", "record", "queue", "id", "seq")


def _failure(record: Json) -> str:
    detail = record.get("detail")
    head = f"{_attempt(record)}{record.get('reason')} after {record.get('seconds')} s"
    return f"{head}: {detail}" if detail else head


def _attempt(record: Json) -> str:
    return f"attempt {record['attempt']}: " if record.get("attempt") else ""


def _reason(record: Json) -> str:
    return str(record.get("reason") or "")


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)
