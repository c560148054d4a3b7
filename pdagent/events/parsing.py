"""From a request's body to a checked event, or to all that is wrong with it.

A refused event is a lost alert. So only what PagerDuty is known to refuse is refused (each rule
names the evidence; `docs/http-api.md` has them all), and what can be repaired is repaired, with a
warning. Everything else passes unchanged, whatever its type. The limits of lengths are PagerDuty's:
https://developer.pagerduty.com/docs/send-alert-event

Hot path: every event comes through here once, with its sender waiting.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
from msgspec import UNSET, Raw, UnsetType

from pdagent.events import rawjson
from pdagent.events.event import BLANK, MAX_SUMMARY_CHARACTERS, InvalidEvent, ParsedEvent
from pdagent.events.kinds import KEY_NAMES, EventKind, kind_by
from pdagent.events.problems import Problems
from pdagent.events.rawjson import Members, kind_of
from pdagent.events.shortening import shorten
from pdagent.events.timestamps import ISO_8601_OR_EMPTY
from pdagent.masking import is_routing_key

ACTIONS = ("trigger", "acknowledge", "resolve")
SEVERITIES = ("critical", "error", "warning", "info")
MAX_DEDUP_KEY_CHARACTERS = 255

_TIME = re.compile(ISO_8601_OR_EMPTY)
_NULL = Raw(b"null")
_HTTPS = re.compile("https://.", re.IGNORECASE)
_SUMMARY = f"text of 1 to {MAX_SUMMARY_CHARACTERS:,} characters"
_INCOMPLETE = "payload: left out, PagerDuty takes none that is incomplete"
_FILLED = "text that is not empty"


class _Entry(msgspec.Struct):
    """What matters of an image, a link, or a context of v1."""

    type: Raw | UnsetType = UNSET
    src: Raw | UnsetType = UNSET
    href: Raw | UnsetType = UNSET


_entry = msgspec.json.Decoder(_Entry)


class Survey:
    """One event and all that is wrong with it.

    `members` are repaired where that was possible; `warnings` says how. `routing_key`, `action` and
    `dedup_key` are empty where they are missing or invalid.
    """

    def __init__(self, kind: EventKind | None, body: bytes, header_key: str | None = None) -> None:
        """Raises `MalformedJsonError` if `body` is no JSON object."""
        self.members, self.warnings = rawjson.read(body)
        self.payload: Members | None = None
        self.kind = kind = kind or kind_by(self.members)
        self.routing_key = self.action = self.dedup_key = ""
        self.problems = Problems()
        self._check_key(KEY_NAMES[kind], header_key)
        if kind == "v2":
            self._check_v2()
        elif kind == "v1":
            self._check_v1()
        else:
            self._check_change()

    def parsed(self) -> ParsedEvent:
        """The event if nothing is wrong with it; raises `InvalidEvent`."""
        if self.problems:
            raise InvalidEvent(self.problems.sentences)
        self.members[KEY_NAMES[self.kind]] = BLANK
        return ParsedEvent(
            kind=self.kind,
            routing_key=self.routing_key,
            action=self.action,
            dedup_key=self.dedup_key,
            members=self.members,
            payload=self.payload,
            warnings=self.warnings,
        )

    def _check_v2(self) -> None:
        self._check_action("event_action")
        self._check_dedup_key("dedup_key")
        # An unknown action must not hide what else is wrong with a trigger; but what looks like a
        # follow-up is not asked for a payload.
        unknown = not self.action and ("payload" in self.members or not self.dedup_key)
        if self.action == "trigger" or unknown:
            self._check_payload(alert=True)
        elif self.action:
            self._check_payload_of_follow_up()
        self._check_entries("images")
        self._check_entries("links")

    def _check_change(self) -> None:
        self.action = "change"
        if self.routing_key.startswith("R"):
            why = "begins with R, and keys of global rulesets take no change events"
            self.problems.add("routing_key: {}", why)
        self._check_payload(alert=False)
        self._check_entries("links")

    def _check_v1(self) -> None:
        self._check_action("event_type")
        self._check_dedup_key("incident_key")
        if self.action == "trigger" or not (self.action or self.dedup_key):
            self._check_filled(self.members, "description", "description", _SUMMARY)
        self._shorten(self.members, "description", "description")
        self._check_entries("contexts")

    def _check_key(self, name: str, header_key: str | None) -> None:
        """Some clients send the key in a header: https://github.com/PagerDuty/pdpyras/issues/53."""
        value = self.members.get(name)
        rule = "32 letters and digits"
        given = rawjson.text(BLANK if value is None or rawjson.is_null(value) else value)
        if given is None:
            self.problems.add_type(name, value or BLANK, rule)
            return
        bare = given.strip()
        self.problems.secret = key = bare or (header_key or "").strip()
        if bare != given:
            self.warnings += (f"{name}: white space around it removed",)
        if is_routing_key(key):
            self.routing_key = key
        elif key:
            length = "" if len(key) == 32 else f", it has {len(key):,} characters"
            self.problems.add("{}: is not {}{}", name, rule, length)
        else:
            self.problems.add_lack(name, value, rule)

    def _check_action(self, name: str) -> None:
        """`0`, `resolved`, `Trigger`: https://github.com/louislam/uptime-kuma/issues/6105."""
        self.action = self._check_choice(self.members, name, name, ACTIONS)

    def _check_dedup_key(self, name: str) -> None:
        """A number or a boolean passes; as text it names the alert in the agent's own records."""
        value = self.members.get(name)
        needed = self.action in ("acknowledge", "resolve")
        if value is None and not needed:
            return
        least = "1 to" if needed else "at most"
        rule = f"text of {least} {MAX_DEDUP_KEY_CHARACTERS} characters"
        if value is not None and kind_of(value) in ("an object", "a list"):
            self.problems.add_type(name, value, rule)
            return
        self.dedup_key = rawjson.as_text(value) if value is not None else ""
        if len(self.dedup_key) > MAX_DEDUP_KEY_CHARACTERS:
            self.problems.add(
                "{}: has {:,} characters, it takes {}", name, len(self.dedup_key), rule
            )
        elif needed and not self.dedup_key:
            self.problems.add_lack(name, value, rule)

    def _check_payload(self, *, alert: bool) -> None:
        """https://github.com/louislam/uptime-kuma/issues/7318, severities: robusta 1153."""
        value = self.members.get("payload")
        if value is None or rawjson.is_null(value):
            self.problems.add_lack("payload", value, "an object")
            return
        if kind_of(value) != "an object":
            self.problems.add_type("payload", value, "an object")
            return
        self.payload = payload = rawjson.members(value)
        self._check_filled(payload, "summary", "payload.summary", _SUMMARY)
        if alert:
            self._check_filled(payload, "source", "payload.source", _FILLED)
            self._check_choice(payload, "severity", "payload.severity", SEVERITIES)
        self._check_time(payload.get("timestamp"))
        if self._shorten(payload, "summary", "payload.summary"):
            self.members["payload"] = rawjson.raw(payload)

    def _check_payload_of_follow_up(self) -> None:
        """PagerDuty refuses a resolve with an incomplete payload; one without it is fine."""
        if rawjson.is_null(self.members.get("payload", _NULL)):
            return
        warnings = self.warnings
        others, self.problems = self.problems, Problems()
        self._check_payload(alert=True)
        problems, self.problems = self.problems, others
        if problems:
            del self.members["payload"]
            self.payload = None
            self.warnings = (*warnings, _INCOMPLETE)

    def _check_entries(self, name: str) -> None:
        """Check a list of images, links or contexts; other values are PagerDuty's to judge.

        Empty addresses are refused (https://github.com/prometheus/alertmanager/pull/2379), and so
        are empty lists of contexts (https://github.com/PagerDuty/pdjs/pull/15). Images have to be
        https, for PagerDuty shows no others: those are left out.
        """
        value = self.members.get(name)
        if value is None or kind_of(value) != "a list":
            return
        items = rawjson.items(value)
        kept = [item for n, item in enumerate(items) if self._keeps(name, n, item)]
        if left_out := len(items) - len(kept):
            images = "an image that is" if left_out == 1 else f"{left_out:,} images that are"
            self.warnings += (f"{name}: left out {images} not https, PagerDuty shows no others",)
            self.members[name] = rawjson.raw(kept)
        if not kept and (left_out or name == "contexts"):
            del self.members[name]
        if not items and name == "contexts":
            self.warnings += ("contexts: left out, PagerDuty takes no empty list",)

    def _keeps(self, name: str, number: int, item: Raw) -> bool:
        try:
            entry = _entry.decode(item)
        except msgspec.ValidationError:
            return True  # no object
        if name == "contexts":
            kind = b"" if entry.type is UNSET else bytes(entry.type)
            address = {b'"link"': "href", b'"image"': "src"}.get(kind)
        else:
            address = "src" if name == "images" else "href"
        if address is None:
            return True
        given: Raw | UnsetType = getattr(entry, address)
        value = None if given is UNSET else given
        if value is None or _is_blank(value):
            takes = _FILLED if address == "href" else "an address that begins with https://"
            self.problems.add_lack(f"{name}[{number}].{address}", value, takes)
            return True
        return address == "href" or _HTTPS.match(rawjson.as_text(value)) is not None

    def _check_filled(self, owner: Members, name: str, path: str, rule: str) -> None:
        if _is_blank(value := owner.get(name)):
            self.problems.add_lack(path, value, rule)

    def _check_choice(self, owner: Members, name: str, path: str, choices: Sequence[str]) -> str:
        value = owner.get(name)
        given = None if value is None else rawjson.text(value)
        if given is not None and given in choices:
            return given
        takes = f"one of {', '.join(choices)}"
        if given is not None:
            self.problems.add_value(path, given, takes)
        elif value is None or rawjson.is_null(value):
            self.problems.add_lack(path, value, takes)
        else:
            self.problems.add_type(path, value, takes)
        return ""

    def _check_time(self, value: Raw | None) -> None:
        """A one-digit hour is refused: https://github.com/polyverse/pagerduty-rs/issues/2."""
        rule = "an ISO 8601 date and time such as 2026-08-01T10:00:00Z"
        if value is None or rawjson.is_null(value):
            return
        if (given := rawjson.text(value)) is None:
            self.problems.add_type("payload.timestamp", value, rule)
        elif not _TIME.search(given):
            self.problems.add_value("payload.timestamp", given, rule)

    def _shorten(self, owner: Members, name: str, path: str) -> bool:
        value = owner.get(name)
        if value is None or len(value) <= MAX_SUMMARY_CHARACTERS:
            return False
        long = rawjson.text(value)
        if long is None or len(long) <= MAX_SUMMARY_CHARACTERS:
            return False
        short = shorten(long, MAX_SUMMARY_CHARACTERS)
        owner[name] = rawjson.raw(short)
        self.warnings += (
            f"{path}: shortened from {len(long):,} to {len(short):,} characters, "
            f"PagerDuty takes {MAX_SUMMARY_CHARACTERS:,}",
        )
        return True


def parse(kind: EventKind | None, body: bytes, header_key: str | None = None) -> ParsedEvent:
    """Check an event; raise `InvalidEvent`.

    Without `kind`, its fields say of which kind it is (see `kind_by`). `header_key` is the value of
    the header `X-Routing-Key`: the key of an event that has none.
    """
    try:
        return Survey(kind, body, header_key).parsed()
    except rawjson.MalformedJsonError as error:
        raise InvalidEvent((str(error),)) from None


def _is_blank(value: Raw | None) -> bool:
    """PagerDuty calls white space alone "blank", and takes it for nothing."""
    if value is None or rawjson.is_null(value):
        return True
    found = rawjson.text(value)
    return found is not None and not found.strip()
