"""What a release is built from: the files of one commit, its version, its time."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[1]


class Problem(Exception):
    """What stops a build or a release; one line that says what to do."""


def exit_status(step: Callable[[], object]) -> int:
    """Do `step`: 0, or 1 if a `Problem` stops it, which is printed."""
    try:
        step()
    except Problem as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    return 0


class Source(NamedTuple):
    """`tree` has the committed files; `epoch` is the time of the commit in seconds."""

    tree: Path
    version: str
    epoch: int

    @property
    def scripts(self) -> dict[str, str]:
        """The programs to install, by name: `module:function`."""
        project = tomllib.loads((self.tree / "pyproject.toml").read_text("utf-8"))["project"]
        scripts: dict[str, str] = project["scripts"]
        return scripts


@contextmanager
def exported() -> Iterator[Source]:
    """The current commit in a temporary directory; outside of a clone, this directory's files."""
    with tempfile.TemporaryDirectory(prefix="pdagent-source-") as folder:
        tree = Path(folder) / "tree"
        if (REPOSITORY / ".git").exists():
            tree.mkdir()
            archive = Path(folder) / "tree.tar"
            git("-c", "tar.umask=0022", "archive", "-o", str(archive), "HEAD")
            run("tar", "-x", "-C", tree, "-f", archive)
            epoch = int(git("log", "-1", "--format=%ct"))
        else:
            skipped = shutil.ignore_patterns(".venv", "build", "dist", "__pycache__", ".*_cache")
            shutil.copytree(REPOSITORY, tree, symlinks=True, ignore=skipped)
            epoch = _released(tree)
        yield Source(tree, _version(tree), int(os.environ.get("SOURCE_DATE_EPOCH", epoch)))


def run(*command: str | Path, cwd: Path | None = None, **environment: str) -> str:
    """The output of a program; Problem with what it says if it fails."""
    env = {**os.environ, **environment}
    try:
        done = subprocess.run(
            command, cwd=cwd, env=env, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise Problem(f"can't run {command[0]}: {error.strerror}") from None
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        raise Problem(f"{' '.join(map(str, command))} failed with {done.returncode}:\n{said}")
    return done.stdout


def changes() -> int:
    """How many files differ from the current commit; 0 outside of a clone."""
    if not (REPOSITORY / ".git").exists():
        return 0
    return len(git("status", "--porcelain").splitlines())


def git(*arguments: str) -> str:
    """The output of git in the repository."""
    return run("git", "-C", REPOSITORY, *arguments)


def changelog_entry(changelog: str, version: str) -> tuple[str, str] | None:
    """The date (YYYY-MM-DD) and the text of a version's entry in the changelog."""
    head = re.escape(version)
    found = re.search(
        rf"^## \[{head}\] - (\d{{4}}-\d\d-\d\d)\n(.*?)(?=^## |\Z)", changelog, re.M | re.S
    )
    return (found[1], found[2].strip()) if found else None


def _version(tree: Path) -> str:
    found = re.search(r'^__version__ = "(.+)"$', (tree / "pdagent/__init__.py").read_text(), re.M)
    assert found is not None
    return found[1]


def _released(tree: Path) -> int:
    entry = changelog_entry((tree / "CHANGELOG.md").read_text("utf-8"), _version(tree))
    if entry is None:
        raise Problem("set SOURCE_DATE_EPOCH: there is neither a git repository nor a release date")
    return int(datetime.fromisoformat(entry[0]).replace(tzinfo=UTC).timestamp())
