"""How a command ended, as an event."""

from __future__ import annotations

from typing import Any

import pytest

from pdagent.integrations.run import JobEnd, job_event
from tests.pdagent.integrations.checked import checked

AT = 1_785_578_400.0


def outcome(**fields: Any) -> JobEnd:
    return JobEnd(**{"code": 0, "signal": None, "output": b"", "seconds": 1.25, "at": AT, **fields})


@pytest.mark.parametrize(
    ("ended", "says"),
    [
        ({"code": 3}, "failed with exit status 3 after 1.2 s"),
        ({"code": 137, "signal": "SIGKILL"}, "was ended by SIGKILL after 1.2 s"),
        ({"code": 0, "timeout": 60.0, "seconds": 61.0}, "was ended by its timeout after 1m01s"),
        ({"code": 127, "ran": False, "output": b"can't run x"}, "failed to start: can't run x"),
        ({"code": 1, "output": b"a\nlast\n\n"}, "failed with exit status 1 after 1.2 s: last"),
    ],
)
def test_a_failure_says_how_and_ends_with_the_last_line(ended: dict[str, Any], says: str) -> None:
    event = job_event("backup", "db1", outcome(**ended))
    assert event.body["event_action"] == "trigger"
    assert event.body["payload"]["summary"] == f"backup on db1 {says}"
    checked(event)


def test_a_success_resolves_the_same_alert() -> None:
    good, bad = job_event("x", "db1", outcome()), job_event("x", "db1", outcome(code=1))
    assert good.body["event_action"] == "resolve"
    assert good.body["dedup_key"] == bad.body["dedup_key"] == "run/db1/x"
    checked(good)


@pytest.mark.parametrize(
    "output",
    [bytes(range(256)) * 20, "ä".encode()[1:] + "ö\n".encode() * 4_000, b"\x1b[31mred\x1b[0m\r\n"],
)
def test_any_output_gives_a_valid_event_without_control_characters(output: bytes) -> None:
    event = job_event("x", "db1", outcome(code=1, output=output))
    checked(event)
    lines = event.body["payload"]["custom_details"]["output"]
    assert len(lines.splitlines()) <= 20
    assert all(c.isprintable() or c in "\n\t" for c in lines)
    assert not lines.startswith("\ufffd")
