"""ISO 8601 as clients may write it."""

from __future__ import annotations

# The lengths of months are checked, leap years are not: a 29th of February is for PagerDuty to
# judge. Spellings are taken widely, because a refused alert costs more than an odd one: with and
# without separators, a space for the `T`, no zone (Python's naive isoformat), `+0000` (the example
# in PagerDuty's documentation), fractions down to picoseconds (Go writes nanoseconds), week and
# ordinal dates, a date alone, leap seconds.
_DAYS_31 = "(?:0[13578]|1[02])-?(?:0[1-9]|[12][0-9]|3[01])"
_DAYS_30 = "(?:0[469]|11)-?(?:0[1-9]|[12][0-9]|30)"
_FEBRUARY = "02-?(?:0[1-9]|[12][0-9])"
_ORDINAL = "(?:00[1-9]|0[1-9][0-9]|[12][0-9]{2}|3[0-5][0-9]|36[0-6])"
_WEEK = "W(?:0[1-9]|[1-4][0-9]|5[0-3])(?:-?[1-7])?"
_DATE = f"[0-9]{{4}}-?(?:{_DAYS_31}|{_DAYS_30}|{_FEBRUARY}|{_ORDINAL}|{_WEEK})"
_SECONDS = "(?:[0-5][0-9]|60)(?:[.,][0-9]{1,12})?"
_TIME = f"(?:[01][0-9]|2[0-4])(?::?[0-5][0-9](?::?{_SECONDS})?)?"
_ZONE = "(?:[Zz]|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9](?::?[0-5][0-9])?)?)"

# `$` alone would take a line feed behind the text; the lookahead is plain ECMA as well, so that
# the pattern means the same in the OpenAPI document.
ISO_8601_OR_EMPTY = f"^(?:{_DATE}(?:[Tt ]{_TIME}(?: ?{_ZONE})?)?)?$(?!\\n)"
"""Pattern of what `payload.timestamp` takes: an ISO 8601 date and time, a date, or nothing."""
