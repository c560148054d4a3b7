"""Nagios notifications as forms: what pagerduty_nagios.pl posts."""

from __future__ import annotations

from urllib.parse import parse_qsl

import msgspec

from pdagent.events import InvalidEvent, ParsedEvent, parse
from pdagent.httpapi.answers import Outcome, nothing_sent
from pdagent.httpapi.intake.single import Call, PagerDutyPath
from pdagent.integrations.event import Nothing, Unusable
from pdagent.integrations.nagios import OBJECTS, v1_event

_KEY = "CONTACTPAGER"
_MOST_FIELDS = 1_000


class NagiosForm(PagerDutyPath):
    """`POST /nagios/2010-04-15/create_event`; the script counts any 2xx as success."""

    def event(self, call: Call, body: bytes) -> ParsedEvent | Outcome:
        """An event of v1, like that of the command `pd-nagios`."""
        fields = _fields_of(body)
        service_key = fields.pop(_KEY, "")
        about = fields.get("pd_nagios_object", "")
        if about not in OBJECTS:
            about = "service" if "SERVICEDESC" in fields else "host"
        try:
            made = v1_event(about, fields.get("NOTIFICATIONTYPE", ""), fields)
        except Unusable as error:
            raise InvalidEvent((str(error),)) from None
        if isinstance(made, Nothing):
            return Outcome(200, nothing_sent(made.why))
        try:
            return parse("v1", msgspec.json.encode({"service_key": service_key, **made.body}))
        except InvalidEvent as error:
            told = tuple(each.replace("service_key", _KEY, 1) for each in error.errors)
            raise InvalidEvent(told) from None


def _fields_of(form: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            form.decode("latin-1"),
            keep_blank_values=True,
            encoding="latin-1",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:
        raise InvalidEvent((f"the form has more than {_MOST_FIELDS:,} fields",)) from None
    return {_text(name): _text(value) for name, value in pairs}


def _text(latin: str) -> str:
    """UTF-8 that was read as Latin-1; as everywhere, what isn't UTF-8 is Latin-1."""
    try:
        return latin.encode("latin-1").decode()
    except UnicodeDecodeError:
        return latin
