"""Every status code against the delivery policy, `Retry-After`, and what PagerDuty explains."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.verdict import Deferred, Delivered, Rejected
from pdagent.eventsapi.verdict import verdict_of_answer
from tests.pdagent.eventsapi.samples import KEY, KINDS, Kind

NOW = 1_790_000_000.0
RATE_LIMITED = {"v1": {403, 429}, "v2": {429}, "change": {429}}


def verdict(
    kind: Kind, status: int, retry_after: str | None = None, body: bytes = b""
) -> Delivered | Deferred | Rejected:
    return verdict_of_answer(kind, status, retry_after, body, NOW, 0.25)


SUCCESS = b'{"status":"success","message":"Event processed"}'
REFUSAL = b'{"status":"invalid event","message":"Event object is invalid","errors":[]}'
PAGE = b"<html><head><title>Sign in</title></head><body>guest network</body></html>"
BODIES = {
    "success": SUCCESS,
    "refusal": REFUSAL,
    "agent's": b'{"status":"service unavailable","message":"the secret is missing; retry later"}',
    "page": PAGE,
    "nothing": b"",
    "other JSON": b'{"ok":true}',
    "a list": b"[1]",
    "cut": SUCCESS[:20],
}


def policy(kind: Kind, status: int, body: str) -> object:
    """The table of the design, written a second time."""
    if status in RATE_LIMITED[kind]:
        return "rate_limited"
    if status // 100 == 2:
        taken = {
            "v1": status == 200 and body == "success",
        }.get(
            kind, body not in ("refusal", "agent's", "page") if status == 202 else body == "success"
        )
        return Delivered if taken else "not_understood"
    if status // 100 == 4 and body in ("success", "refusal"):
        return f"http_{status}"
    return "server_error" if status // 100 == 5 else "not_understood"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", BODIES)
def test_each_status_has_the_verdict_of_the_policy(kind: Kind, body: str) -> None:
    for status in range(100, 600):
        found = verdict(kind, status, body=BODIES[body])
        expected = policy(kind, status, body)
        assert found.seconds == 0.25
        match found:
            case Delivered():
                assert (expected, found.status) == (Delivered, status)
            case Deferred() | Rejected():
                assert found.reason == expected
                assert (found.detail == f"HTTP {status}: not PagerDuty: HTML page 'Sign in'") == (
                    body == "page"
                )


@pytest.mark.parametrize("kind", KINDS)
def test_an_agents_508_is_a_loop_and_says_why(kind: Kind) -> None:
    said = "events_url leads to this agent itself"
    told = {"status": "service unavailable", "message": f"{said}; retry later"}
    body = json.dumps({**told, "errors": [told["message"]]}).encode()
    assert verdict(kind, 508, "30", body) == Deferred(reason="loop", detail=said, seconds=0.25)


@pytest.mark.parametrize(
    ("page", "name"),
    [
        (b"<title>Sign in</title>", " 'Sign in'"),
        (b"\xef\xbb\xbf\r\n <!DOCTYPE html><TITLE lang=en>\n Sign&nbsp;in </TITLE>", " 'Sign in'"),
        ("\ufeff<html><title>W</title>".encode("utf-16-le"), " 'W'"),
        (b"HTTP error <html><title>W</title>", " 'W'"),
        (b"<html><title>a\x1b[31m\xe2\x80\xaeb&#27;[0m</title>", " 'a[31mb[0m'"),
        (b"<html><title>" + KEY.encode() + b"</title>", f" '{KEY[:4]}\u2026{KEY[-4:]}'"),
        (b"<html><title>" + b"x " * 250 + b"</title>", f" '{'x ' * 39}x\u2026'"),
        (b"<html><title></title>", ""),
        (b"<html><title>without end", ""),
        (b"<?xml version='1.0'?><Error/>", ""),
        (b"<html>upstream", ""),
    ],
)
def test_a_page_is_named_by_its_title(page: bytes, name: str) -> None:
    found = verdict("v2", 202, body=page)
    assert isinstance(found, Deferred)
    assert found.detail == f"HTTP 202: not PagerDuty: HTML page{name}"


def test_a_page_full_of_titles_costs_no_time() -> None:
    began = time.process_time()
    verdict("v2", 503, body=b"<title>" * 9_000)
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [-1, 0, 99, 600, 999, 10**9])
def test_a_status_that_is_none_is_not_understood(kind: Kind, status: int) -> None:
    assert verdict(kind, status) == Deferred(
        reason="not_understood", detail=f"HTTP {status}", seconds=0.25
    )


def http_date(seconds_from_now: float) -> str:
    moment = datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=seconds_from_now)
    return format_datetime(moment, usegmt=True)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("3600", 3600.0),
        ("3601", 3600.0),
        ("9" * 5000, 3600.0),
        (http_date(90), 90.0),
        (http_date(-90), 0.0),
        (http_date(100_000), 3600.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 0.0),
        ("Sun Nov  6 08:49:37 1994", 0.0),
        ("", None),
        ("-5", None),
        ("+5", None),
        ("1e3", None),
        ("nan", None),
        ("\u0667", None),
        ("soon", None),
        ("60 seconds", None),
        ("Mon, 99 Foo 2026 25:61:61 GMT", None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
    ],
)
def test_retry_after_is_understood_in_seconds_and_as_a_date(
    header: str | None, seconds: float | None
) -> None:
    found = verdict("v2", 429, header)
    assert isinstance(found, Deferred)
    assert found.retry_after == seconds


@given(st.text())
def test_no_retry_after_raises_or_leaves_the_range(header: str) -> None:
    found = verdict("v2", 429, header)
    assert isinstance(found, Deferred)
    assert found.retry_after is None or 0.0 <= found.retry_after <= 3600.0


def test_every_answer_may_set_the_time_of_the_next_try() -> None:
    for kind in KINDS:
        for status in range(100, 600):
            for body in (PAGE, b"", REFUSAL):
                found = verdict(kind, status, "7", body)
                assert getattr(found, "retry_after", 7.0) == 7.0


def explained(body: object) -> str:
    found = verdict("v2", 400, body=json.dumps(body).encode())
    assert isinstance(found, Rejected)
    assert found.reason == "http_400"
    return found.detail


def test_a_rejection_carries_pagerdutys_message_and_all_its_errors() -> None:
    assert (
        explained(
            {
                "status": "invalid event",
                "message": "Event object is invalid",
                "errors": ["'payload' is missing", "'event_action' is wrong"],
            }
        )
        == "Event object is invalid: 'payload' is missing; 'event_action' is wrong"
    )


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"message": "no"}, "no"),
        ({"errors": ["a", "b"]}, "a; b"),
        ({"errors": "a"}, "a"),
        ({"message": "no", "errors": []}, "no"),
        ({"message": 5, "errors": [5, None, {"a": 1}, "b"]}, "b"),
        ({"message": None, "errors": None}, ""),
        ({"status": "invalid event"}, ""),
    ],
)
def test_an_explanation_of_another_shape_is_used_as_far_as_it_goes(
    body: object, detail: str
) -> None:
    assert explained(body) == detail


@pytest.mark.parametrize(
    "body", [b"", b"7", b'{"message": "cut', b"\xff\xfe", b"[" * 60_000, b"{}}", b'"text"', b"{}"]
)
def test_what_is_not_pagerdutys_json_is_not_understood_and_not_quoted(body: bytes) -> None:
    found = verdict("v2", 400, body=body)
    assert found == Deferred(reason="not_understood", detail="HTTP 400", seconds=0.25)


def test_server_errors_carry_the_explanation_behind_their_code() -> None:
    found = verdict("v2", 503, body=b'{"message":"maintenance"}')
    assert found == Deferred(reason="server_error", detail="HTTP 503: maintenance", seconds=0.25)


def test_a_key_in_an_explanation_is_masked() -> None:
    assert explained({"errors": [f"{KEY} is no key"]}) == f"{KEY[:4]}…{KEY[-4:]} is no key"


def test_a_key_is_masked_where_it_is_glued_to_letters_split_or_cut() -> None:
    for text in (
        f"x{KEY}",
        f"_{KEY}_",
        f'"{KEY}"',
        KEY[:10] + "\x00" + KEY[10:],
        KEY[:10] + "\u200b" + KEY[10:],
        "e " * 240 + KEY,
    ):
        detail = explained({"errors": [text]})
        assert KEY not in detail
        assert KEY[:20] not in detail


def test_control_characters_do_not_get_into_the_detail() -> None:
    assert explained({"errors": ["a\x1b[31mb\r\nc\td\x7f\u202ee\x00"]}) == "a[31mb c de"


def test_a_detail_is_at_most_500_characters() -> None:
    detail = explained({"errors": ["word " * 1000]})
    assert len(detail) == 500
    assert detail.endswith("…")


@given(st.recursive(st.none() | st.text(), lambda inner: st.lists(inner)), st.text())
def test_no_explanation_raises_or_breaks_the_rules(errors: object, message: str) -> None:
    detail = explained({"errors": errors, "message": message})
    assert len(detail) <= 500
    assert detail.isprintable()


@given(st.binary(), st.sampled_from([400, 429, 500, 302]))
def test_no_body_raises(body: bytes, status: int) -> None:
    assert verdict("v1", status, body=body).seconds == 0.25
