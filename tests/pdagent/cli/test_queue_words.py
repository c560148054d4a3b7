"""What is read from standard input as ids, and how a history is shown."""

from __future__ import annotations

import io
import json
import sys

import click
import pytest

from pdagent.cli.queue.selection import ids_of
from pdagent.cli.queue.words import told, told_briefly

AT = "2026-08-01T12:00:00.000Z"


def ids_from(monkeypatch: pytest.MonkeyPatch, given: bytes) -> list[str]:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    return ids_of(["-"])


def test_ids_come_bare_as_json_text_and_as_the_lines_of_a_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = [b"0198-a", b"", b' "0198-b" ', b'{"id":"0198-c","state":"queued"}', b"0198-a\r"]
    assert ids_from(monkeypatch, b"\n".join(lines)) == ["0198-a", "0198-b", "0198-c"]
    assert ids_from(monkeypatch, b"") == []
    assert ids_of(["a", "b", "a"]) == ["a", "b"]


@pytest.mark.parametrize(
    "line",
    [
        b"two words",
        b'{"key": 1}',
        b'{"id": 1}',
        b"{",
        b'"',
        b"[]",
        b"\xff",
        b"{" * 100_000,
        b"../x",
        b"a" * (17 << 20),
    ],
    ids=lambda line: line[:10].decode("latin-1"),
)
def test_what_is_no_id_is_refused_with_the_number_of_its_line(
    monkeypatch: pytest.MonkeyPatch, line: bytes
) -> None:
    with pytest.raises(click.UsageError, match=r"^Line 2 of standard input is no id"):
        ids_from(monkeypatch, b"0198-a\n" + line + b"\n")


def test_a_closed_standard_input_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(click.UsageError, match="it is closed"):
        ids_of(["-"])


def started(attempt: int) -> dict[str, object]:
    return {"at": AT, "record": "DeliveryStarted", "attempt": attempt}


def deferred(reason: str = "server_error") -> dict[str, object]:
    detail = {"detail": "HTTP 503", "retry_at": AT, "seconds": 0.1}
    return {"at": AT, "record": "DeliveryDeferred", "reason": reason, **detail}


def told_words(history: list[dict[str, object]]) -> list[str]:
    return [f"{word}: {rest}" for _, word, rest in told_briefly(history)]


def test_an_attempt_and_its_end_are_one_line_and_one_without_an_end_is_told_too() -> None:
    restart = {"at": AT, "record": "ActorRestarted", "reason": "a crash"}
    delivered = {"at": AT, "record": "EventDelivered", "status": 202, "seconds": 0.1}
    history = [started(1), restart, started(2), delivered, started(3)]
    assert told_words(history) == [
        "attempt: 1 started",
        "restarted: a crash",
        "delivered: attempt 2: HTTP 202 after 0.1 s",
        "attempt: 3 started",
    ]


def test_of_a_long_history_the_two_ends_are_told() -> None:
    history = [record for n in range(1, 61) for record in (started(n), deferred())]
    lines = told_words(history)
    assert len(lines) == 41
    assert lines[20] == ": ... 20 more lines; --json shows them all"
    assert [line.split()[2] for line in (lines[0], lines[19], lines[21], lines[40])] == [
        "1:",
        "20:",
        "41:",
        "60:",
    ]
    assert len(told_words(history[:80])) == 40


def test_a_record_of_a_later_version_is_told_as_it_is() -> None:
    record = json.loads('{"at": "x", "record": "EventMoved", "id": "1", "to": "elsewhere"}')
    assert told(record) == ("EventMoved", "to=elsewhere")
    assert told({}) == ("None", "")
