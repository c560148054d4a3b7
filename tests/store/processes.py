"""Other processes that hold a journal, and this one under another user's id."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
NOBODY = 65_534

_HOLD = """
import sys
from pathlib import Path
from store.lmdb_journal import LmdbJournal
from tests.store.sample_records import FIRST, accepted, commit
journal = LmdbJournal(Path(sys.argv[1]), limit=64 << 20)
for number in range(int(sys.argv[2])):
    commit(journal, FIRST, accepted(f"held-{number}"))
sys.stdout.write("ready\\n")
sys.stdout.flush()
sys.stdin.read()
"""


@contextmanager
def holding(directory: Path, *, commits: int = 0) -> Iterator[subprocess.Popen[str]]:
    """A process that has the journal open and has committed so many events; it is killed at last.

    It dies by SIGKILL, without a chance to tidy up.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(directory), str(commits)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def acting_as(user: int) -> Iterator[None]:
    """This process with the rights of another user; needs root."""
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)
