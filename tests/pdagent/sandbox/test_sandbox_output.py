"""What the sandbox prints and records."""

from __future__ import annotations

import json
import re

from tests.pdagent.sandbox.sample_events import KEY, V2, action, post, trigger
from tests.pdagent.sandbox.start import first_line, start


def test_its_output_says_what_came_with_the_key_masked() -> None:
    process = start("--port", "0")
    try:
        ready = re.fullmatch(
            r"sandbox ready: (http://127\.0\.0\.1:\d+) \(control (http://127\.0\.0\.1:\d+)\)\n",
            first_line(process),
        )
        assert ready is not None
        url = ready[1]
        assert ready[2] == url
        post(url + V2, trigger(dedup_key="disk", summary="Disk\x1b[2J full"))
        post(url + V2, trigger(severity="bad"))
        post(url + V2, action("resolve", "unknown"))
        process.terminate()
        assert process.stdout is not None
        # Not by communicate(): it leaves out what the reading of the first line has buffered.
        hint, *lines = process.stdout.read().splitlines()
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert url in hint
    assert [line.split()[1] for line in lines] == ["202", "400", "202"]
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3}  202  v2 +trigger +v4g5…nvj9  disk  Disk·\[2J full",
        lines[0],
    )
    assert "payload.severity: 'bad' is not one of" in lines[1]
    assert "dropped: no open alert" in lines[2]
    assert KEY not in "".join(lines)
    assert (process.returncode, errors) == (0, "")


def test_json_lines_are_for_machines() -> None:
    process = start("--port", "0", "--json")
    try:
        ready = json.loads(first_line(process))
        assert ready == {
            "ready": True,
            "url": ready["url"],
            "control_url": ready["url"],
            "pid": process.pid,
        }
        post(ready["url"] + V2, trigger(dedup_key="disk"))
        event = json.loads(first_line(process))
        assert (event["n"], event["status"], event["dedup_key"]) == (1, 202, "disk")
        assert KEY not in json.dumps(event)
    finally:
        process.kill()
        process.communicate(timeout=20)


def test_it_goes_on_when_nobody_reads_its_output() -> None:
    process = start("--port", "0")
    try:
        url = first_line(process).split()[2]
        assert process.stdout is not None
        process.stdout.close()
        assert [post(url + V2, trigger()) for _ in range(50)] == [202] * 50
        process.terminate()
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.close()
        process.stderr.close()
        process.wait(timeout=20)
