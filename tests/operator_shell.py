"""An operator at a shell: runs command lines as they are printed, and finds those that are."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.agent_process import COMMAND_SECONDS, REPOSITORY, AgentProcess

# On a line of its own, or quoted within a sentence.
_COMMAND = re.compile(
    r"^ +(pagerduty-agent .+)$"
    r"|'(pagerduty-agent [^'\n]+)'"
    r'|"(pagerduty-agent [^"]+)"',
    re.MULTILINE,
)


def commands_in(text: str) -> list[str]:
    """The command lines that a text tells to run."""
    return ["".join(found) for found in _COMMAND.findall(text)]


def command_in(text: str, words: str) -> str:
    """The one command line in a text that has these words in it."""
    found = [line for line in dict.fromkeys(commands_in(text)) if words in line]
    assert len(found) == 1, (words, text)
    return found[0]


class OperatorShell:
    """`sh` on the agent's host, where `pagerduty-agent` is installed and finds its config."""

    def __init__(self, agent: AgentProcess) -> None:
        self._credentials = agent.credentials
        self._environment = agent.environment()
        programs = agent.directory / "bin"
        programs.mkdir(exist_ok=True)
        script = programs / "pagerduty-agent"
        script.write_text(
            f'#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} -m pdagent "$@"\n',
            encoding="utf-8",
        )
        script.chmod(0o755)
        self._environment["PATH"] = f"{programs}:{os.environ['PATH']}"

    def run(self, line: str, *, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command line; what it prints is text, and shows no credential."""
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            input=stdin,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        self._credentials.check(done.stdout + done.stderr, f"the output of {line[:40]}")
        return done

    def output(self, line: str, *, stdin: str = "") -> str:
        """Run a command line that must succeed and complain of nothing; what it prints."""
        done = self.run(line, stdin=stdin)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def refusal(self, line: str, code: int, *, stdin: str = "") -> str:
        """Run a command line that must fail with `code` and one line; the line."""
        done = self.run(line, stdin=stdin)
        assert (done.returncode, done.stdout) == (code, ""), done
        [only] = done.stderr.splitlines()
        assert only.startswith("error: "), only
        return only.removeprefix("error: ")

    def start(self, line: str, output: Path) -> subprocess.Popen[bytes]:
        """Start a command line whose output and errors go to a file."""
        with output.open("wb") as file:
            return subprocess.Popen(
                ["/bin/sh", "-c", f"exec {line}"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def on_terminal(self, line: str, answer: str = "", *, code: int = 0) -> str:
        """What a command line shows on a terminal of 80 columns where `answer` is typed."""
        leader, follower = pty.openpty()
        with os.fdopen(leader, "r+b", buffering=0) as screen:
            process = subprocess.Popen(
                ["/bin/sh", "-c", line],
                stdin=follower,
                stdout=follower,
                stderr=follower,
                env={**self._environment, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"},
            )
            os.close(follower)
            if answer:
                screen.write(answer.encode())
            shown = _until_closed(screen.read)
            assert process.wait(COMMAND_SECONDS) == code, shown
        text = shown.decode().replace("\r\n", "\n")
        self._credentials.check(text, f"what {line[:40]} shows")
        return text


def _until_closed(read: Callable[[int], bytes]) -> bytes:
    shown = b""
    try:
        while piece := read(65536):
            shown += piece
    except OSError:
        pass  # how Linux reports that the last writer has closed the terminal
    return shown
