"""Which timestamps pass, and what the agent writes itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdagent.occurrence import utc_timestamp
from tests.pdagent.events.sample_events import (
    CHANGE,
    V2_TRIGGER,
    changed,
    errors_of,
    parse,
)


@pytest.mark.parametrize(
    "timestamp",
    [
        "2015-07-17T08:42:58.315+0000",  # PagerDuty's documentation
        "2026-08-01T10:00:00Z",
        "2026-08-01T10:00:00.123456789Z",  # Go
        "2026-08-01T10:00:00+02:00",
        "2026-08-01T10:00:00.123456",  # Python, no zone
        "2026-08-01 10:00:00.123456+00:00",  # str() of Python
        "2026-08-01T10:00Z",
        "2026-08-01T10Z",
        "2026-08-01",
        "20260801T100000Z",
        "20260801T100000.5+0530",
        "2026-08-01t10:00:00z",
        "2026-08-01T10:00:00,5Z",
        "2026-08-01 10:00:00 +0200",
        "2026-08-01T24:00:00Z",
        "2016-12-31T23:59:60Z",
        "2024-02-29T00:00:00Z",
        "2026-W31-6T10:00:00Z",
        "2026-213T10:00:00Z",
        "0001-01-01T00:00:00Z",
        "",
    ],
)
def test_iso_8601_is_taken_in_all_its_spellings(timestamp: str) -> None:
    for kind, event in (("v2", V2_TRIGGER), ("change", CHANGE)):
        assert parse(kind, changed(event, "payload.timestamp", timestamp))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "timestamp",
    [
        "yesterday",
        "now",
        "1785578400",
        "1785578400.25",
        "10:00:00",
        "2026",
        "2026-13-01T10:00:00Z",
        "2026-00-01T10:00:00Z",
        "2026-02-30T10:00:00Z",
        "2026-04-31T10:00:00Z",
        "2026-08-01T25:00:00Z",
        "2026-08-01T10:60:00Z",
        "2026-08-01T10:00:61Z",
        "2026-08-01T10:00:00Z\n",
        "\n",
        "2026-08-01T10:00:00 in the morning",
        "Sat, 01 Aug 2026 10:00:00 GMT",
        "01/08/2026 10:00",
        "٢٠٢٦-08-01T10:00:00Z",
        "$EVENT.TIME",
    ],
)
def test_what_is_clearly_no_date_and_time_is_refused(timestamp: str) -> None:
    for kind, event in (("v2", V2_TRIGGER), ("change", CHANGE)):
        (error,) = errors_of(kind, changed(event, "payload.timestamp", timestamp))  # type: ignore[arg-type]
        assert error.startswith("payload.timestamp: ")
        assert "is not an ISO 8601 date and time such as 2026-08-01T10:00:00Z" in error


ZONES = st.none() | st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m)))


@settings(deadline=None)
@given(st.datetimes(timezones=ZONES), st.sampled_from(["T", " "]))
def test_whatever_python_writes_as_iso_8601_is_taken(moment: datetime, separator: str) -> None:
    timestamp = moment.isoformat(separator)
    assert parse("v2", changed(V2_TRIGGER, "payload.timestamp", timestamp))


@settings(deadline=None)
@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2200, 1, 1)))
def test_the_agent_writes_milliseconds_in_utc(moment: datetime) -> None:
    seconds = moment.replace(tzinfo=UTC).timestamp()
    written = utc_timestamp(seconds)
    assert written.endswith("Z")
    assert len(written) == len("2026-08-01T10:00:00.000Z")
    assert abs(datetime.fromisoformat(written).timestamp() - seconds) < 0.0011
