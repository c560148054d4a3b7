"""PagerDuty's rules written a second time, as plainly as can be, to judge the first by."""

from __future__ import annotations

from typing import Any

from pdagent.events import EventKind

_ACTIONS = ("trigger", "acknowledge", "resolve")


def is_valid(kind: EventKind, event: Any) -> bool:
    """Whether PagerDuty takes `event`; timestamps are right if they begin with a digit."""
    if not isinstance(event, dict):
        return False
    return {"v1": _v1, "v2": _v2, "change": _change}[kind](event)


def _v1(event: dict[str, Any]) -> bool:
    trigger = event.get("event_type") == "trigger"
    return (
        _key(event.get("service_key"))
        and event.get("event_type") in _ACTIONS
        and _alert_key(event.get("incident_key"), required=not trigger)
        and (_filled if trigger else _text)(event.get("description"))
        and _texts(event, "client", "client_url")
        and _object(event.get("details"))
        and _object(event.get("agent"))
        and _list(event.get("contexts"), _context)
    )


def _v2(event: dict[str, Any]) -> bool:
    trigger = event.get("event_action") == "trigger"
    payload = event.get("payload")
    return (
        _key(event.get("routing_key"))
        and event.get("event_action") in _ACTIONS
        and _alert_key(event.get("dedup_key"), required=not trigger)
        and (_trigger_payload(payload) if trigger else payload is None or _loose_payload(payload))
        and _texts(event, "client", "client_url")
        and _list(event.get("images"), _image)
        and _list(event.get("links"), _link)
    )


def _change(event: dict[str, Any]) -> bool:
    key, payload = event.get("routing_key"), event.get("payload")
    return (
        _key(key)
        and not str(key).startswith("R")
        and isinstance(payload, dict)
        and _filled(payload.get("summary"))
        and _texts(payload, "source")
        and _time(payload.get("timestamp"))
        and _object(payload.get("custom_details"))
        and _list(event.get("links"), _link)
    )


def _trigger_payload(payload: Any) -> bool:
    return (
        _loose_payload(payload)
        and _filled(payload.get("summary"))
        and _filled(payload.get("source"))
        and payload.get("severity") in ("critical", "error", "warning", "info")
        and _time(payload.get("timestamp"))
    )


def _loose_payload(payload: Any) -> bool:
    names = ("summary", "source", "severity", "timestamp", "component", "group", "class")
    return (
        isinstance(payload, dict)
        and _texts(payload, *names)
        and _object(payload.get("custom_details"))
    )


def _image(image: dict[str, Any]) -> bool:
    src = image.get("src")
    return isinstance(src, str) and src.startswith("https://") and _texts(image, "href", "alt")


def _link(link: dict[str, Any]) -> bool:
    return _filled(link.get("href")) and _texts(link, "text")


def _context(context: dict[str, Any]) -> bool:
    if context.get("type") == "link":
        return _link(context)
    return (
        context.get("type") == "image"
        and _filled(context.get("src"))
        and _texts(context, "href", "alt")
    )


def _key(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 32 and value.isascii() and value.isalnum()


def _alert_key(value: Any, *, required: bool) -> bool:
    if not required and value is None:
        return True
    return isinstance(value, str) and required <= len(value) <= 255


def _text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _filled(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != ""


def _texts(owner: dict[str, Any], *names: str) -> bool:
    return all(_text(owner.get(name)) for name in names)


def _time(value: Any) -> bool:
    return (not value and _text(value)) or (isinstance(value, str) and value[0].isdigit())


def _object(value: Any) -> bool:
    return value is None or isinstance(value, dict)


def _list(value: Any, judge: Any) -> bool:
    return value is None or (
        isinstance(value, list) and all(isinstance(item, dict) and judge(item) for item in value)
    )
