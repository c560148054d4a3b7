"""What a checked event is, and what a refused one is."""

from __future__ import annotations

import msgspec

from pdagent.events.kinds import EventKind

MAX_EVENT_BYTES = 512_000
"""PagerDuty's limit of one event's JSON, with its key in place ("512 KB" in its documentation)."""

MAX_SUMMARY_CHARACTERS = 1024
"""PagerDuty's limit of `payload.summary` and of v1's `description`, in Unicode code points."""


class ParsedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A valid event, ready for the journal.

    `action` is `trigger`, `acknowledge` or `resolve`, and `change` for a change event. `dedup_key`
    (v1: the incident key) is empty when there is none. `body` is the client's JSON object: the
    value of its routing or service key is `""`, every other value has the bytes that the client
    sent, in the client's order; what had to be repaired is in `warnings`. White space between the
    members of the outermost object is not kept.
    """

    kind: EventKind
    routing_key: str
    action: str
    dedup_key: str = ""
    body: bytes
    warnings: tuple[str, ...] = ()

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
