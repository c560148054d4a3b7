"""Whether an event is valid, strictly as PagerDuty documents its Events API v1 and v2.

Written apart from the agent's own validation on purpose, with nothing but the standard library: the
sandbox is there to catch what the agent lets through. Where the documentation says nothing (fields
it doesn't know, the content of a payload that comes with an acknowledge) nothing is refused; `null`
is not a string and not an object, so it is refused where one of those is documented.
"""

from __future__ import annotations

import json
import string
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

Kind = Literal["v1", "v2", "change"]

MAX_BODY_BYTES = 512_000
MAX_TEXT = 1024
MAX_DEDUP_KEY = 255
KEY_LENGTH = 32
ACTIONS = ("trigger", "acknowledge", "resolve")
SEVERITIES = ("critical", "error", "warning", "info")

_KEY_CHARACTERS = frozenset(string.ascii_letters + string.digits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a request body turned out to be.

    `errors` holds every problem found and is empty for a valid event; no error repeats a value, so
    none can give a key away. `routing_key` is the text that was sent, "" when there was none;
    `dedup_key` is "" where none was given; `is_json` says whether the body was JSON at all.
    """

    routing_key: str = ""
    action: str = ""
    dedup_key: str = ""
    summary: str = ""
    is_json: bool = True
    errors: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Checked(action={self.action!r}, errors={self.errors!r})"


def is_routing_key(key: str) -> bool:
    """Whether `key` has the form of an integration key: 32 ASCII letters and digits.

    PagerDuty documents hexadecimal digits for v1, but the original agent's documentation shows a
    key with other letters in it, so all letters count.
    """
    return len(key) == KEY_LENGTH and _KEY_CHARACTERS.issuperset(key)


def check(kind: Kind, raw: bytes) -> Checked:
    """Check the request body `raw` as an event of `kind`; problems come back in `errors`."""
    repeated: list[str] = []
    try:
        body = _parse(raw, repeated)
    except (ValueError, RecursionError):
        return Checked(is_json=False, errors=("The body is not valid JSON in UTF-8",))
    if not isinstance(body, dict):
        return Checked(errors=("The body is not a JSON object",))
    errors = [f"'{name}' occurs twice in one object" for name in repeated]
    fields = _Fields(body, errors)
    match kind:
        case "v1":
            return _check_v1(fields)
        case "v2":
            return _check_v2(fields)
        case "change":
            return _check_change(fields)


def _parse(raw: bytes, repeated: list[str]) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            repeated.extend(sorted({name for name in names if names.count(name) > 1}))
        return found

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    text = raw.decode("utf-8")
    value = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    if "\\ud" in text or "\\uD" in text:
        # A lone surrogate can be written in JSON, but it is no character: this raises ValueError.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _check_v2(event: _Fields) -> Checked:
    routing_key = event.key("routing_key")
    action = event.choice("event_action", ACTIONS)
    dedup_key = event.text("dedup_key", required=action in ACTIONS[1:], limit=MAX_DEDUP_KEY)
    summary = ""
    payload = event.object("payload", required=action == "trigger")
    # PagerDuty takes acknowledge and resolve with and without a payload and doesn't look into it.
    if payload is not None and action not in ("acknowledge", "resolve"):
        summary = payload.text("summary", required=True, limit=MAX_TEXT)
        payload.text("source", required=True)
        payload.choice("severity", SEVERITIES)
        payload.moment("timestamp")
        for name in ("component", "group", "class"):
            payload.text(name)
        payload.object("custom_details")
    for image in event.objects("images"):
        image.text("src", required=True, prefix="https://")
        image.text("href")
        image.text("alt")
    _check_links(event)
    event.text("client")
    event.text("client_url")
    return Checked(
        routing_key=routing_key,
        action=action,
        dedup_key=dedup_key,
        summary=summary,
        errors=tuple(event.errors),
    )


def _check_change(event: _Fields) -> Checked:
    routing_key = event.key("routing_key")
    if is_routing_key(routing_key) and routing_key.startswith("R"):
        event.problem("routing_key", "belongs to a global ruleset, which takes no change events")
    summary = ""
    payload = event.object("payload", required=True)
    if payload is not None:
        summary = payload.text("summary", required=True, limit=MAX_TEXT)
        payload.text("source")
        payload.moment("timestamp")
        payload.object("custom_details")
    _check_links(event)
    return Checked(
        routing_key=routing_key, action="change", summary=summary, errors=tuple(event.errors)
    )


def _check_v1(event: _Fields) -> Checked:
    service_key = event.key("service_key")
    action = event.choice("event_type", ACTIONS)
    incident_key = event.text("incident_key", required=action in ACTIONS[1:], limit=MAX_DEDUP_KEY)
    description = event.text("description", required=action == "trigger", limit=MAX_TEXT)
    event.object("details")
    event.text("client")
    event.text("client_url")
    for context in event.objects("contexts"):
        match context.choice("type", ("link", "image")):
            case "link":
                context.text("href", required=True)
                context.text("text")
            case "image":
                context.text("src", required=True)
                context.text("href")
                context.text("alt")
    agent = event.object("agent")
    if agent is not None:
        agent.text("queued_by")
        agent.text("agent_id")
        agent.moment("queued_at", utc=True)
    return Checked(
        routing_key=service_key,
        action=action,
        dedup_key=incident_key,
        summary=description,
        errors=tuple(event.errors),
    )


def _check_links(event: _Fields) -> None:
    for link in event.objects("links"):
        link.text("href", required=True)
        link.text("text")


class _Fields:
    """One JSON object whose fields are checked by name; all problems go into one list."""

    def __init__(self, fields: dict[str, Any], errors: list[str], path: str = "") -> None:
        self.errors = errors
        self._fields = fields
        self._path = path

    def problem(self, name: str, text: str) -> None:
        self.errors.append(f"'{self._path}{name}' {text}")

    def key(self, name: str) -> str:
        key = self.text(name, required=True)
        if key and not is_routing_key(key):
            self.problem(name, f"is not a key of {KEY_LENGTH} letters and digits")
        return key

    def text(
        self, name: str, *, required: bool = False, limit: int | None = None, prefix: str = ""
    ) -> str:
        if name not in self._fields and not required:
            return ""
        value = self._fields.get(name, "")
        if not isinstance(value, str):
            self.problem(name, "is not a string")
            return ""
        if required and not value.strip():
            self.problem(name, "is missing or blank")
        elif limit is not None and len(value) > limit:
            self.problem(name, f"is longer than {limit} characters")
        elif not value.startswith(prefix):
            self.problem(name, f"doesn't begin with {prefix}")
        return value

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name, required=True)
        if value.strip() and value not in allowed:
            self.problem(name, f"is none of {', '.join(allowed)}")
        return value if value in allowed else ""

    def object(self, name: str, *, required: bool = False) -> _Fields | None:
        if name not in self._fields:
            if required:
                self.problem(name, "is missing")
            return None
        value = self._fields[name]
        if not isinstance(value, dict):
            self.problem(name, "is not an object")
            return None
        return _Fields(value, self.errors, f"{self._path}{name}.")

    def objects(self, name: str) -> list[_Fields]:
        values = self._fields.get(name, [])
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            self.problem(name, "is not a list of objects")
            return []
        return [
            _Fields(value, self.errors, f"{self._path}{name}[{index}].")
            for index, value in enumerate(values)
        ]

    def moment(self, name: str, *, utc: bool = False) -> None:
        if name not in self._fields:
            return
        value = self.text(name)
        if not value and not isinstance(self._fields[name], str):
            return
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.problem(name, "is not an ISO 8601 time")
            return
        if len(value) > len("2026-08-01") and "T" not in value:
            # Python takes any separator between date and time, ISO 8601 only this one.
            self.problem(name, "is not an ISO 8601 time")
        elif utc and moment.utcoffset() != timedelta(0):
            self.problem(name, "is not an ISO 8601 time in UTC")
