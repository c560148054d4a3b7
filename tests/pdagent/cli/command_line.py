"""Runs `python -m pdagent` as a user would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.credentials import Credentials

REPOSITORY = Path(__file__).resolve().parents[3]
TIME_LIMIT_SECONDS = 60


class Outcome(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one error line; fails the test if standard error is anything else."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: "), self.err
        return lines[0].removeprefix("error: ")


class CommandLine:
    """The program in a home directory of its own; `env` is added to a bare environment."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.config = home / ".pagerduty-agent.yaml"
        self.env: dict[str, str] = {}
        self.program = ["-m", "pdagent"]
        self.credentials = Credentials()

    def configure(self, text: str = "", **settings: str) -> None:
        lines = [f"{name}: {value}\n" for name, value in settings.items()]
        self.credentials.note(settings.get("secret", ""))
        self.credentials.note_keys_in(text, *settings.values())
        self.config.write_text("".join(lines) + text, encoding="utf-8")
        self.config.chmod(0o600)

    def environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY),
            "LANG": "C.UTF-8",
            # A proxy that isn't there: nothing on the way to the agent may ask it.
            "http_proxy": "http://127.0.0.1:9",
            "https_proxy": "http://127.0.0.1:9",
            **self.env,
        }

    def command(self, *arguments: str | bytes) -> list[str | bytes]:
        return [sys.executable, *self.program, *arguments]

    def __call__(self, *arguments: str | bytes, stdin: bytes = b"") -> Outcome:
        done = subprocess.run(
            self.command(*arguments),
            input=stdin,
            capture_output=True,
            env=self.environment(),
            cwd=self.home,
            timeout=TIME_LIMIT_SECONDS,
            check=False,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        if "--show-keys" not in arguments:
            given = [text for text in arguments if isinstance(text, str)]
            self.credentials.note_keys_in(*given, *self.env.values())
            self.credentials.check(out + err, f"the output of {given[:2]}")
        assert "Traceback" not in out + err
        return Outcome(done.returncode, out, err)
