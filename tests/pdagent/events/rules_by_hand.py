"""PagerDuty's rules written a second time, as plainly as can be, to judge the first by."""

from __future__ import annotations

from typing import Any

from pdagent.events import EventKind

_FOLLOW_UPS = ("acknowledge", "resolve")


def is_valid(kind: EventKind, event: Any) -> bool:
    """Whether the agent takes `event`; timestamps are right if they begin with a digit."""
    if not isinstance(event, dict):
        return False
    return {"v1": _v1, "v2": _v2, "change": _change}[kind](event)


def _v1(event: dict[str, Any]) -> bool:
    return (
        _key(event.get("service_key"))
        and _alert(event.get("event_type"), event.get("incident_key"))
        and (event["event_type"] in _FOLLOW_UPS or _filled(event.get("description")))
        and all(
            _filled(context.get({"link": "href", "image": "src"}[context["type"]]))
            for context in _objects(event.get("contexts"))
            if context.get("type") in ("link", "image")
        )
    )


def _v2(event: dict[str, Any]) -> bool:
    return (
        _key(event.get("routing_key"))
        and _alert(event.get("event_action"), event.get("dedup_key"))
        and (event["event_action"] in _FOLLOW_UPS or _payload(event.get("payload"), alert=True))
        and all(_filled(image.get("src")) for image in _objects(event.get("images")))
        and all(_filled(link.get("href")) for link in _objects(event.get("links")))
    )


def _change(event: dict[str, Any]) -> bool:
    return (
        _key(event.get("routing_key"))
        and not event["routing_key"].startswith("R")
        and _payload(event.get("payload"), alert=False)
        and all(_filled(link.get("href")) for link in _objects(event.get("links")))
    )


def _payload(payload: Any, *, alert: bool) -> bool:
    if not isinstance(payload, dict) or not _filled(payload.get("summary")):
        return False
    time = payload.get("timestamp")
    if alert and not (
        _filled(payload.get("source"))
        and payload.get("severity") in ("critical", "error", "warning", "info")
    ):
        return False
    return time is None or time == "" or (isinstance(time, str) and time[0].isdigit())


def _alert(action: Any, key: Any) -> bool:
    if action not in ("trigger", *_FOLLOW_UPS) or isinstance(key, list | dict):
        return False
    if key is None or key == "":
        return bool(action == "trigger")
    return not isinstance(key, str) or len(key) <= 255


def _key(value: Any) -> bool:
    key = value.strip() if isinstance(value, str) else ""
    return len(key) == 32 and key.isascii() and key.isalnum()


def _filled(value: Any) -> bool:
    return value is not None and not (isinstance(value, str) and not value.strip())


def _objects(value: Any) -> list[dict[str, Any]]:
    entries = value if isinstance(value, list) else []
    return [entry for entry in entries if isinstance(entry, dict)]
