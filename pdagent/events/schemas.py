"""PagerDuty's event formats as typed structs: they validate, and they describe the HTTP API.

Rules are those of PagerDuty's Events API v1, v2 and change events. An optional field may be null,
which means the same as leaving it out. Free-form objects are taken apart one level only, so that
nothing inside is interpreted. Unknown fields are ignored here and passed on.

`Meta.extra["rule"]` completes the sentences "it takes ..." and "is not ...";
`Meta.extra["secret"]` keeps a refused value out of them; what matches `Meta.extra["exception"]`
is refused for `exception_rule`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw

from pdagent.events.event import EventKind
from pdagent.events.timestamps import ISO_8601_OR_EMPTY

RoutingKey = Annotated[
    str,
    Meta(
        min_length=32,
        max_length=32,
        pattern="^[A-Za-z0-9]{32}$",
        description="Integration key of a PagerDuty service: 32 letters and digits.",
        extra={"rule": "32 letters and digits", "secret": True},
    ),
]
ChangeRoutingKey = Annotated[
    str,
    Meta(
        min_length=32,
        max_length=32,
        pattern="^[A-QS-Za-z0-9][A-Za-z0-9]{31}$",
        description="Integration key of a PagerDuty service: 32 letters and digits, the first "
        "not R. Keys of global rulesets begin with R and take no change events.",
        extra={
            "rule": "32 letters and digits",
            "secret": True,
            "exception": "^R[A-Za-z0-9]{31}$",
            "exception_rule": "begins with R, and keys of global rulesets take no change events",
        },
    ),
]
DedupKey = Annotated[str, Meta(max_length=255, extra={"rule": "text of at most 255 characters"})]
RequiredDedupKey = Annotated[
    str, Meta(min_length=1, max_length=255, extra={"rule": "text of 1 to 255 characters"})
]
# PagerDuty calls white space alone "blank" and refuses it where text is required. Written out, as
# `\S` is not the same in Python and in ECMAScript, whose patterns the OpenAPI document has.
_NOT_BLANK = r"[^\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
Summary = Annotated[
    str,
    Meta(
        min_length=1,
        pattern=_NOT_BLANK,
        description="At most 1,024 characters reach PagerDuty: longer text is shortened, with a "
        "warning in the answer.",
        extra={"rule": "text of 1 to 1,024 characters"},
    ),
]
Filled = Annotated[
    str, Meta(min_length=1, pattern=_NOT_BLANK, extra={"rule": "text that is not empty"})
]
Timestamp = Annotated[
    str,
    Meta(
        pattern=ISO_8601_OR_EMPTY,
        description="ISO 8601 date and time at which the tool saw it. Filled with the time of "
        "acceptance when missing or empty.",
        examples=["2026-08-01T10:00:00.000Z"],
        extra={"rule": "an ISO 8601 date and time such as 2026-08-01T10:00:00Z"},
    ),
]
HttpsAddress = Annotated[
    str,
    Meta(
        pattern="^[Hh][Tt][Tt][Pp][Ss]://.",
        # Addresses of images carry access tokens often enough.
        extra={"rule": "an address that begins with https://", "secret": True},
    ),
]
Severity = Annotated[
    Literal["critical", "error", "warning", "info"],
    # msgspec sorts the values of a Literal; people know them in this order.
    Meta(extra={"rule": "one of critical, error, warning, info"}),
]
FreeForm = dict[str, Raw]


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A link that PagerDuty shows with the alert or change."""

    href: Filled
    text: str | None = None


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """An image that PagerDuty shows with the alert."""

    src: HttpsAddress
    href: str | None = None
    alt: str | None = None


class _AlertDetails(msgspec.Struct, frozen=True, kw_only=True):
    component: str | None = None
    group: str | None = None
    class_: str | None = msgspec.field(default=None, name="class")
    custom_details: FreeForm | None = None


class AlertPayload(_AlertDetails, frozen=True, kw_only=True):
    """What a trigger says about the problem."""

    summary: Summary
    source: Filled
    severity: Severity
    timestamp: Timestamp | None = None


class FollowUpPayload(_AlertDetails, frozen=True, kw_only=True):
    """A payload that comes with an acknowledge or resolve, which need none: types alone count."""

    summary: str | None = None
    source: str | None = None
    severity: str | None = None
    timestamp: str | None = None


class ChangePayload(msgspec.Struct, frozen=True, kw_only=True):
    """What a change event says about the change."""

    summary: Summary
    source: str | None = None
    timestamp: Timestamp | None = None
    custom_details: FreeForm | None = None


class _Alert(msgspec.Struct, frozen=True, kw_only=True, tag_field="event_action"):
    routing_key: RoutingKey
    images: list[Image] | None = None
    links: list[Link] | None = None
    client: str | None = None
    client_url: str | None = None


class Trigger(_Alert, frozen=True, kw_only=True, tag="trigger"):
    """Events API v2: opens an alert, or adds to the open one of the same dedup key."""

    dedup_key: DedupKey | None = None
    payload: AlertPayload


class Acknowledge(_Alert, frozen=True, kw_only=True, tag="acknowledge"):
    """Events API v2: somebody works on the alert."""

    dedup_key: RequiredDedupKey
    payload: FollowUpPayload | None = None


class Resolve(_Alert, frozen=True, kw_only=True, tag="resolve"):
    """Events API v2: the problem is over."""

    dedup_key: RequiredDedupKey
    payload: FollowUpPayload | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Events API v2, change event: something was changed that may explain an alert."""

    routing_key: ChangeRoutingKey
    payload: ChangePayload
    links: list[Link] | None = None


class LinkContext(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="link"):
    """Events API v1: a link that PagerDuty shows with the incident."""

    href: Filled
    text: str | None = None


class ImageContext(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="image"):
    """Events API v1: an image that PagerDuty shows with the incident."""

    src: Filled
    href: str | None = None
    alt: str | None = None


class _V1Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event_type"):
    # The documentation says 32 hexadecimal digits; keys with other letters are in use.
    service_key: RoutingKey
    details: FreeForm | None = None
    client: str | None = None
    client_url: str | None = None
    contexts: list[LinkContext | ImageContext] | None = None
    agent: FreeForm | None = None


class V1Trigger(_V1Event, frozen=True, kw_only=True, tag="trigger"):
    """Events API v1: opens an incident, or adds to the open one of the same incident key."""

    incident_key: DedupKey | None = None
    description: Summary


class V1Acknowledge(_V1Event, frozen=True, kw_only=True, tag="acknowledge"):
    """Events API v1: somebody works on the incident."""

    incident_key: RequiredDedupKey
    description: str | None = None


class V1Resolve(_V1Event, frozen=True, kw_only=True, tag="resolve"):
    """Events API v1: the problem is over."""

    incident_key: RequiredDedupKey
    description: str | None = None


AlertEvent = Trigger | Acknowledge | Resolve
V1Event = V1Trigger | V1Acknowledge | V1Resolve
ChangeEvent = Change

EVENT_TYPES: dict[EventKind, tuple[type[msgspec.Struct], ...]] = {
    "v1": (V1Trigger, V1Acknowledge, V1Resolve),
    "v2": (Trigger, Acknowledge, Resolve),
    "change": (Change,),
}
"""The structs that events of each kind decode to, told apart by their action."""
