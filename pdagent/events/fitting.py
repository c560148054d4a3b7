"""Making an event fit that grew past PagerDuty's limit by what the agent added.

The limit is 512,000 bytes and what the agent adds is at most a few hundred, so next to nothing of
the event has to go. In this order, until it fits:

1. White space inside values, then escapes of characters that need none: neither means anything.
2. The v1 `agent` object, if the agent itself put it in.
3. The end of the longest text in `payload.custom_details` (v1: `details`), or members from its
   end where it has no long text. The same with the largest of the other values if the details
   are short: the bulk is elsewhere.
4. Whole members, the largest first.

What makes the event what it is stays: keys, action, dedup key, summary, severity, timestamp, and
`source` may be shortened but is never left out.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from msgspec import Raw

from pdagent.events import rawjson
from pdagent.events.event import MAX_EVENT_BYTES, EventKind
from pdagent.events.shortening import ELLIPSIS, boundary_before

_DETAILS = frozenset(("payload.custom_details", "details"))
_KEPT: dict[EventKind, frozenset[str]] = {
    "v1": frozenset(("service_key", "event_type", "incident_key", "description")),
    "v2": frozenset(("routing_key", "event_action", "dedup_key", "payload")),
    "change": frozenset(("routing_key", "payload")),
}
_KEPT_IN_PAYLOAD = frozenset(("summary", "severity", "timestamp"))
_REQUIRED = "payload.source"
# Half of an entry would be refused: addresses are checked.
_LISTS_OF_WHOLES = frozenset(("images", "links", "contexts"))

# Deeper texts are left alone: their outermost container loses members instead.
_LEVELS = 8

# Details beyond this have to give way before anything else does, whatever is longest.
_LONG_DETAILS = 10_000

_NULL = Raw(b"null")

_LONGEST_NAME = 60

_REASON = f"PagerDuty takes events of at most {MAX_EVENT_BYTES:,} bytes"


class _Value(NamedTuple):
    """One value of the event that may be shortened: where it is, and its name for people."""

    owner: rawjson.Members
    name: str
    path: str

    @property
    def raw(self) -> Raw:
        return self.owner[self.name]

    def size(self) -> int:
        """Return the bytes of the whole member, its name, colon and comma included."""
        return len(rawjson.write(self.name)) + len(self.raw) + 2

    def warning(self, loss: str) -> str:
        """Say what it lost."""
        path = self.path
        name = path if len(path) <= _LONGEST_NAME else f"{path[:_LONGEST_NAME]}{ELLIPSIS}"
        return f"{name}: {loss}, {_REASON}"


def fit(
    kind: EventKind, body: bytes, room: int, *, drop_agent: bool
) -> tuple[bytes, tuple[str, ...]]:
    """Return `body`, a valid event's, in at most `room` bytes, and a warning for each loss.

    `drop_agent` says that the v1 `agent` object is the agent's own and may go. An event that was
    within the limit before the agent completed it always fits afterwards.
    """
    body = rawjson.compact(body)
    if len(body) > room:
        body = rawjson.without_needless_escapes(body)
    event = rawjson.members(body)
    payload: rawjson.Members = {}
    if kind != "v1" and _is(event.get("payload", _NULL), "an object"):
        payload = rawjson.members(event["payload"])
    excess = len(body) - room
    warnings: list[str] = []
    if excess > 0 and drop_agent:
        excess -= _leave_out(_Value(event, "agent", "agent"), excess, warnings)
    values = _most_to_spare_first(kind, event, payload)
    for change in (_shorten, _leave_out):
        for value in values:
            if excess > 0:
                excess -= change(value, excess, warnings)
    if payload:
        event["payload"] = rawjson.raw(payload)
    return rawjson.write(event), tuple(warnings)


def shortened(value: Raw, excess: int, levels: int = _LEVELS) -> Raw | None:
    """Return a JSON value that is at least `excess` bytes shorter, or None if that can't be.

    `value` is JSON without white space. Text loses its end. Objects and lists lose as much in
    their largest member, looked for down to `levels` levels, else members from their end.
    """
    if _is(value, "text"):
        return _shortened_text(rawjson.text(value), len(value) - excess)
    if _is(value, "an object"):
        members = rawjson.members(value)
        sizes = [len(rawjson.write(name)) + len(members[name]) + 2 for name in members]
        fewer = _shortened_values(list(members.values()), sizes, excess, levels)
        shorter = rawjson.raw(dict(zip(members, fewer, strict=False)))
    elif _is(value, "a list"):
        items = rawjson.items(value)
        sizes = [len(item) + 1 for item in items]
        shorter = rawjson.raw(_shortened_values(items, sizes, excess, levels))
    else:
        return None
    return shorter if len(shorter) <= len(value) - excess else None


def _shortened_values(values: list[Raw], sizes: list[int], excess: int, levels: int) -> list[Raw]:
    """Shorten the largest of `values`, or leave out so many of the last as have enough bytes.

    `sizes` are in bytes, each with what would go along with the value: a comma, a name.
    """
    if levels and values:
        largest = max(range(len(values)), key=lambda place: len(values[place]))
        shorter = shortened(values[largest], excess, levels - 1)
        if shorter is not None:
            return [*values[:largest], shorter, *values[largest + 1 :]]
    left = len(values)
    while left and excess > 0:
        left -= 1
        excess -= sizes[left]
    return values[:left]


def _shortened_text(text: str, room: int) -> Raw | None:
    """Cut `text` so that it takes `room` bytes of JSON, quotes included, with an ellipsis."""

    def written(length: int) -> int:
        return len(rawjson.write(text[:length] + ELLIPSIS))

    longest = bisect_right(range(len(text) + 1), room, key=written) - 1
    length = boundary_before(text, longest) if longest > 0 else 0
    return rawjson.raw(text[:length] + ELLIPSIS) if length else None


def _most_to_spare_first(
    kind: EventKind, event: rawjson.Members, payload: rawjson.Members
) -> list[_Value]:
    """List what may be shortened or left out: long details first, then by size."""
    values = [_Value(event, name, name) for name in event if name not in _KEPT[kind]]
    values += [
        _Value(payload, name, f"payload.{name}") for name in payload if name not in _KEPT_IN_PAYLOAD
    ]

    def spareness(value: _Value) -> tuple[bool, int]:
        size = value.size()
        return (value.path in _DETAILS and size > _LONG_DETAILS, size)

    return sorted(values, key=spareness, reverse=True)


def _shorten(value: _Value, excess: int, warnings: list[str]) -> int:
    """Shorten a member by `excess` bytes if that can be; return the bytes that it saves."""
    shorter = shortened(value.raw, excess, 0 if value.path in _LISTS_OF_WHOLES else _LEVELS)
    if shorter is None:
        return 0
    saved = len(value.raw) - len(shorter)
    value.owner[value.name] = shorter
    warnings.append(value.warning(f"shortened by {saved:,} bytes"))
    return saved


def _leave_out(value: _Value, _excess: int, warnings: list[str]) -> int:
    """Take a member out unless it is required; return the bytes that this saves."""
    if value.path == _REQUIRED:
        return 0
    saved = value.size()
    del value.owner[value.name]
    warnings.append(value.warning("left out"))
    return saved


def _is(value: Raw, kind: str) -> bool:
    return rawjson.kind_of(value) == kind
