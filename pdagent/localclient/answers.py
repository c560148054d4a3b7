"""The agent's answers to commands for many events."""

from __future__ import annotations

import msgspec

from pdagent.operating.changes import UnchangedEvent


class LineResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of one line of a batch: a receipt, or `status` and `errors` of its refusal."""

    line: int
    key: str = ""
    dedup_key: str = ""
    incident_key: str = ""
    warnings: tuple[str, ...] = ()
    status: int | None = None
    errors: tuple[str, ...] = ()
    retry_after: float | None = None
    may_have_been_stored: bool = False


class EventPage(msgspec.Struct, frozen=True):
    """Events as the agent's JSON, and the cursor of the next page; None at the end."""

    events: list[msgspec.Raw]
    next: str | None = None


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """Which events were retried or discarded, and which were not.

    `left` counts the dead letters that were left as they are because their alert was resolved.
    """

    message: str
    count: int
    events: tuple[str, ...] = ()
    refused: tuple[UnchangedEvent, ...] = ()
    left: int = 0
