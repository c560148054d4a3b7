"""The bar that long commands show on a terminal, and nowhere else."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.agent_process import REPOSITORY, AgentProcess
from tests.lived_journal import live
from tests.pdagent.cli.command_line import CommandLine
from tests.pdagent.httpapi.sample_events import trigger
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import key_number

COUNTING = """
from pdagent.cli.progress import Progress
from pdagent.cli.output import say
with Progress("Counting", beside_output={beside}) as progress:
    for row in progress.watch(iter(range(5_000_000)), 5_000_000):
        pass
    say("note", "counted")
"""


def on_a_terminal(command: Sequence[str | bytes], env: Mapping[str, str]) -> tuple[int, str, str]:
    """Exit code, standard output (no terminal) and what the terminal got."""
    leader, follower = pty.openpty()
    with (
        os.fdopen(leader, "rb", buffering=0) as screen,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=follower,
            cwd=REPOSITORY,
            env={**env, "TERM": "xterm"},
        ) as process,
    ):
        os.close(follower)
        shown = b""
        try:
            while chunk := screen.read(65536):
                shown += chunk
        except OSError:
            pass  # how Linux reports that the last writer has closed the terminal
        out = process.communicate()[0]
    return process.returncode, out.decode(), shown.decode()


@pytest.mark.parametrize("beside", [False, True])
def test_a_bar_grows_makes_room_for_lines_and_is_gone_at_the_end(beside: bool) -> None:
    script = [sys.executable, "-c", COUNTING.format(beside=beside)]
    code, out, shown = on_a_terminal(script, os.environ)
    assert (code, out) == (0, "")
    drawn = shown.split("\r\x1b[K")
    bars = [float(found[1]) for text in drawn if (found := re.search(r"] +(\d+)%", text))]
    assert bars
    assert bars == sorted(bars)
    assert "note: counted\r\n" in drawn
    assert drawn[-1] == ""


def test_there_is_no_bar_without_a_terminal() -> None:
    script = [sys.executable, "-c", COUNTING.format(beside=False)]
    done = subprocess.run(script, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "note: counted\n")


def test_commands_for_journals_show_what_they_do(cli: CommandLine, tmp_path: Path) -> None:
    directory = tmp_path / "journal"
    live(directory, steps=20)
    cli.configure(database=str(directory))
    salvaging = ("salvage", str(tmp_path / "new"))
    for words in (("verify",), ("dump",), salvaging, ("compact",)):
        command = cli.command("journal", *words)
        code, out, shown = on_a_terminal(command, cli.environment())
        assert code == 0
        assert str(directory)[:30] in shown
        assert shown.endswith("\r\x1b[K")
        assert out
        assert "\x1b" not in out


def test_a_batch_is_summed_up_on_a_terminal_and_quiet_says_nothing_of_each_line(
    tmp_path: Path,
) -> None:
    with (
        SandboxProcess() as sandbox,
        AgentProcess(tmp_path / "agent", sandbox.url, max_queue_length=50) as agent,
    ):
        sandbox.behave(down=True)
        file = tmp_path / "events"
        event = trigger(routing_key=key_number(1))
        agent.credentials.note_keys_in(key_number(1))
        lines = [b"{}", *[json.dumps(event).encode()] * 80]
        file.write_bytes(b"\n".join(lines))
        sending = agent.command("enqueue", "-q", "--batch", str(file))
        code, out, shown = on_a_terminal(sending, agent.environment())
        assert (code, out) == (75, "")
        accepted, refused, unsent = map(int, re.findall(r"(\d+) (?:accepted|refused|not)", shown))
        assert refused == 1
        assert accepted + unsent == 80
        assert 0 < unsent <= 80
        assert shown.count("line 1:") == 0
        quiet = agent.cli("enqueue", "-q", "--batch", str(file))
        assert quiet.returncode == 75
        assert len(quiet.stderr.splitlines()) == 1
