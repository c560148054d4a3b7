"""The `Retry-After` header (RFC 9110, section 10.2.3)."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

LONGEST_SECONDS = 3600.0
"""No answer makes us wait longer: an alert an hour late is late enough."""

# RFC 9110 knows whole seconds; fractions are met in the wild and harmless.
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]*)?")


def seconds_to_wait(header: str | None, now: float) -> float | None:
    """Seconds from `now` (since 1970) on that `header` asks for, between 0 and 3600.

    It may name seconds or an HTTP date; a date that has passed is 0. None without a header, and
    for one that is neither.
    """
    if header is None:
        return None
    text = header.strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), LONGEST_SECONDS)
    try:
        date = parsedate_to_datetime(text)
        # "-0000" and asctime's form come back without a zone; HTTP dates are in UTC.
        until = (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, LookupError, OverflowError):
        return None
    return min(max(until - now, 0.0), LONGEST_SECONDS)
