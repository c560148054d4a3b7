"""The bodies of answers to whoever sends events; what `openapi.json` says of them as well."""

from __future__ import annotations

import msgspec

from actors.core.commands import Receipt
from pdagent.events import EventKind

PROCESSED = "Event processed"


class _Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is empty is left out."""


class _Processed(_Answer, frozen=True, kw_only=True):
    status: str
    message: str
    warnings: tuple[str, ...] = ()


class EventProcessed(_Processed, frozen=True, kw_only=True):
    """PagerDuty's answer to an alert event of v2; `warnings`, if there are any, are the agent's."""

    dedup_key: str


class ChangeEventProcessed(_Processed, frozen=True, kw_only=True):
    """PagerDuty's answer to a change event, which has no dedup key."""


class V1EventProcessed(_Processed, frozen=True, kw_only=True):
    """PagerDuty's answer to an event of v1."""

    incident_key: str


class Stored(_Answer, frozen=True, kw_only=True):
    """The answer of `/send`: `key` is the event's id, the other one the alert's."""

    key: str
    dedup_key: str = ""
    incident_key: str = ""
    warnings: tuple[str, ...] = ()


class Errors(_Answer, frozen=True, kw_only=True):
    """The agent's own shape of a refusal: a sentence for each thing that is wrong."""

    errors: tuple[str, ...]
    may_have_been_stored: bool = False


class PagerDutyErrors(_Answer, frozen=True, kw_only=True):
    """PagerDuty's shape of a refusal, on PagerDuty's paths.

    `status` is "invalid event", "throttle exceeded" or "service unavailable".
    """

    status: str
    message: str
    errors: tuple[str, ...]
    may_have_been_stored: bool = False


def processed(kind: EventKind, receipt: Receipt) -> _Processed:
    """What PagerDuty would answer to the event of `receipt`."""
    match kind:
        case "v1":
            return V1EventProcessed(
                status="success",
                message=PROCESSED,
                incident_key=receipt.dedup_key,
                warnings=receipt.warnings,
            )
        case "v2":
            return EventProcessed(
                status="success",
                message=PROCESSED,
                dedup_key=receipt.dedup_key,
                warnings=receipt.warnings,
            )
        case "change":
            return ChangeEventProcessed(
                status="success", message=PROCESSED, warnings=receipt.warnings
            )


def stored(kind: EventKind, receipt: Receipt) -> Stored:
    """What `/send` answers to the event of `receipt`."""
    return Stored(
        key=receipt.event,
        incident_key=receipt.dedup_key if kind == "v1" else "",
        dedup_key=receipt.dedup_key if kind == "v2" else "",
        warnings=receipt.warnings,
    )
