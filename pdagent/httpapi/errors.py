"""How the HTTP API says no: JSON everywhere, in PagerDuty's shape on PagerDuty's paths."""

from __future__ import annotations

import msgspec

from pdagent.events import EventKind
from pdagent.httpapi.answers import Errors, refused

PAGERDUTY_PATHS: dict[str, EventKind] = {
    "/v2/enqueue": "v2",
    "/v2/change/enqueue": "change",
    "/generic/2010-04-15/create_event.json": "v1",
}
"""PagerDuty's own paths, which its clients call as they are, and what kind of event each takes."""

_encode = msgspec.json.Encoder().encode


def error_body(path: str, sentence: str) -> bytes:
    """The JSON of one error in the shape that callers of `path` expect."""
    if path in PAGERDUTY_PATHS:
        return _encode(refused(sentence, (sentence,)))
    return _encode(Errors(errors=(sentence,)))
