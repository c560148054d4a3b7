"""The sandbox as a bare process, for tests of its output and its exit."""

from __future__ import annotations

import subprocess
import sys
from typing import IO

from tests.sandbox_process import REPOSITORY


def start(*options: str, stdin: IO[str] | int = subprocess.PIPE) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pdagent", "sandbox", *options],
        cwd=REPOSITORY,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()
