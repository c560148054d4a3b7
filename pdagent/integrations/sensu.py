"""Sensu: the event on standard input of a handler becomes an event of PagerDuty.

Sensu Core and Sensu Go write different documents; Go's has an `entity` in place of a `client`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from pdagent.integrations.event import Event, Nothing, Unusable, first_line, v1, v2

_SEVERITIES = {0: "info", 1: "warning", 2: "critical"}


def parse(document: bytes) -> dict[str, Any]:
    """The event as Sensu wrote it.

    Raises:
        Unusable: It is no JSON object.
    """
    try:
        text = document.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = document.decode("latin-1")
    try:
        # JSON has no NaN, PagerDuty takes none, and it must not keep the event from going out.
        found = json.loads(text, parse_constant=str, parse_int=_whole)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Unusable("standard input is no JSON object: Sensu hands its event to a handler there")
    return found


def v1_event(document: Mapping[str, Any], incident_key: str | None = None) -> Event | Nothing:
    """What `pd-sensu` made.

    Raises:
        Unusable: The document has no `action`, or nothing to make a key of.
    """
    check = _Check.of(document, incident_key)
    if not check.is_go and "action" not in document:
        raise Unusable("the event on standard input has no 'action'")
    if check.needs_nothing:
        return _SILENCED
    description = f"{check.key} : {check.output}"
    body = v1(check.action, check.key, description, document, "pd-sensu")
    return Event("v1", {**body, "client": "Sensu"})


def v2_event(
    document: Mapping[str, Any],
    *,
    occurred_at: float,
    dedup_key: str | None = None,
    links: tuple[Mapping[str, str], ...] = (),
) -> Event | Nothing:
    """An alert with the severity of the check's status.

    Raises:
        Unusable: The document has nothing to make a key of.
    """
    check = _Check.of(document, dedup_key)
    if check.needs_nothing:
        return _SILENCED
    lack = () if check.status is not None else ("check.status is missing: the severity is error",)
    output = first_line(check.output)
    body = v2(
        check.action,
        check.key,
        f"{check.name} : {output}" if output else check.name,
        source=check.host.strip() or "Sensu",
        severity="error" if check.status is None else _SEVERITIES.get(check.status, "error"),
        component=check.component,
        details=document,
        occurred_at=occurred_at,
        links=links,
        client="Sensu",
    )
    return Event("v2", body, lack)


_SILENCED = Nothing("Nothing to send: the check is silenced.")


class _Check(NamedTuple):
    """The result of a check, whichever Sensu it comes from; `status` is None if there is none."""

    key: str
    host: str
    component: str
    output: str
    status: int | None
    action: str
    is_go: bool
    is_silenced: bool

    @property
    def name(self) -> str:
        """Which check it is, for people."""
        return f"{self.host}/{self.component}" if self.host and self.component else self.key

    @property
    def needs_nothing(self) -> bool:
        """Whether nobody wants to hear of it. What ends is told in any case."""
        return self.is_silenced and self.action == "trigger"

    @classmethod
    def of(cls, document: Mapping[str, Any], given_key: str | None) -> _Check:
        is_go = isinstance(document.get("entity"), dict)
        metadata = ("metadata",) if is_go else ()
        host = _text(document, "entity" if is_go else "client", *metadata, "name")
        component = _text(document, "check", *metadata, "name")
        key = given_key or (f"{host}/{component}" if host and component else "")
        key = key or _text(document, "id")
        if not key:
            lacks = "entity.metadata.name" if is_go else "client.name"
            raise Unusable(f"no key: the event on standard input lacks {lacks} or the check's name")
        digits = _text(document, "check", "status")
        status = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 9 else None
        ends = _text(document, "action") == "resolve"
        if is_go or "action" not in document:
            ends = status == 0
        return cls(
            key=key,
            host=host,
            component=component,
            output=_text(document, "check", "output"),
            status=status,
            action="resolve" if ends else "trigger",
            is_go=is_go,
            is_silenced=is_go and _at(document, "check", "is_silenced") is True,
        )


def _whole(digits: str) -> int | str:
    # Python refuses to read longer ones, and PagerDuty takes them as text.
    return int(digits) if len(digits) < 1000 else digits


def _at(document: object, *path: str) -> object:
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _text(document: object, *path: str) -> str:
    """The text or number at `path`; empty if there is none."""
    found = _at(document, *path)
    return str(found) if isinstance(found, str | int | float) else ""
