"""A checked event, its body, and the error of a refused one."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from pdagent.events import rawjson
from pdagent.events.kinds import KEY_NAMES, EventKind

MAX_EVENT_BYTES = 512_000
"""PagerDuty's limit of one event's JSON, with its key in place ("512 KB" in its documentation)."""

MAX_SUMMARY_CHARACTERS = 1024
"""PagerDuty's limit of `payload.summary` and of v1's `description`, in Unicode code points."""


BLANK = Raw(b'""')
"""The value of the key in the body of a `ParsedEvent`."""


class ParsedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A valid event, ready for the journal.

    `action` is `trigger`, `acknowledge` or `resolve`, and `change` for a change event. `dedup_key`
    (v1: the incident key) is empty when there is none. `members` are those of the client's JSON
    object: the value of its routing or service key is `""`, every other value has the bytes that
    the client sent, in the client's order; what had to be repaired is in `warnings`. `payload` are
    the members of its payload, if it has any. `written` is the `body` if it is known already.
    """

    kind: EventKind
    routing_key: str
    action: str
    dedup_key: str = ""
    members: rawjson.Members
    payload: rawjson.Members | None = None
    warnings: tuple[str, ...] = ()
    written: bytes = b""

    @property
    def body(self) -> bytes:
        """The JSON. White space between the members of the outermost object is not kept."""
        return self.written or rawjson.write(self.members)

    def __repr__(self) -> str:
        return (
            f"ParsedEvent(kind={self.kind!r}, action={self.action!r}, "
            f"dedup_key={self.dedup_key!r}, body=<{len(self.body)} bytes>, "
            f"warnings={self.warnings!r})"
        )

    def __rich_repr__(self) -> list[tuple[str, object]]:
        # msgspec's own version would show the routing key wherever rich prints the event.
        return [
            ("kind", self.kind),
            ("action", self.action),
            ("dedup_key", self.dedup_key),
            ("warnings", self.warnings),
        ]


class InvalidEvent(Exception):
    """An event that PagerDuty would refuse.

    `errors` has one sentence for each problem with the field's name at the beginning; after 20 of
    them, one with the number of the others. No sentence contains the routing or service key.
    """

    def __init__(self, errors: tuple[str, ...]) -> None:
        super().__init__(errors)
        self.errors = errors

    def __str__(self) -> str:
        return "; ".join(self.errors)


class AgentStamp(msgspec.Struct, frozen=True, kw_only=True):
    """Which agent queued an event, and for which program (`pd-send`, `pd-nagios`, ...)."""

    agent_id: str
    queued_by: str


def with_routing_key(kind: EventKind, body: bytes, routing_key: str) -> bytes:
    """Put the key back into its place in the `body` of a `ParsedEvent`, as PagerDuty wants it.

    Raises `msgspec.DecodeError` if `body` is not a JSON object, which no accepted event has.
    """
    members = rawjson.members(body)
    members[KEY_NAMES[kind]] = rawjson.raw(routing_key)
    return rawjson.write(members)


def summary_of(kind: EventKind, body: bytes) -> str:
    """Return v1's description, otherwise the payload's summary.

    `body` is that of a `ParsedEvent`. Empty when there is none, as in most resolves; a value that
    is no text is returned as it was written.
    """
    return summary_in(kind, rawjson.members(body))


def summary_in(kind: EventKind, members: rawjson.Members) -> str:
    """The same from the members of an event, valid or not."""
    value = members.get("description" if kind == "v1" else "payload")
    if kind != "v1" and value is not None:
        is_object = rawjson.kind_of(value) == "an object"
        value = rawjson.members(value).get("summary") if is_object else None
    return "" if value is None else rawjson.as_text(value)[:MAX_SUMMARY_CHARACTERS]
