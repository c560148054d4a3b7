"""Publishes a version: `make release`. It takes a tag, an entry in the changelog and a key."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import signing
from artifacts import DIST, build
from source import Problem, changelog_entry, changes, exit_status, exported, git


def check() -> tuple[str, str]:
    """The version to publish and what is new in it; Problem if it must not be published."""
    if number := changes():
        raise Problem(f"{number} files differ from the last commit: commit them, or 'git stash -u'")
    with exported() as source:
        version, text = source.version, (source.tree / "CHANGELOG.md").read_text("utf-8")
    entry = changelog_entry(text, version)
    if entry is None:
        raise Problem(f"CHANGELOG.md has no entry: add '## [{version}] - YYYY-MM-DD'")
    if f"v{version}" not in git("tag", "--points-at", "HEAD").split():
        raise Problem(f"the last commit has no tag v{version}: 'git tag -s v{version}' makes it")
    return version, entry[1]


def publish(version: str, notes: str) -> None:
    """Upload with twine and gh; print the command of the one that is missing or has no credentials.

    Raises Problem if an upload fails: what was uploaded before it stays.
    """
    python = sorted([*DIST.glob("*.whl"), *DIST.glob("pdagent-*.tar.gz")])
    everything = sorted(DIST.iterdir())
    (DIST / "release-notes").write_text(notes + "\n")
    notes_file = f"--notes-file={DIST / 'release-notes'}"
    github = ("gh", "release", "create", f"v{version}", notes_file, *everything)
    for tool, may, command in (
        ("twine", _may_upload(), (sys.executable, "-m", "twine", "upload", *python)),
        ("gh", _may_release(), github),
    ):
        words = [str(word) for word in command]
        if not may:
            print(f"Not done, {tool} or its credentials are missing:\n  {shlex.join(words)}")
        elif status := subprocess.run(words, check=False).returncode:
            raise Problem(f"{tool} failed with {status}: repeat its command\n  {shlex.join(words)}")


def _may_upload() -> bool:
    return "TWINE_PASSWORD" in os.environ or Path("~/.pypirc").expanduser().exists()


def _may_release() -> bool:
    if shutil.which("gh") is None:
        return False
    return (
        subprocess.run(["gh", "auth", "status"], capture_output=True, check=False).returncode == 0
    )


def release() -> None:
    """Check, build, sign, verify, publish."""
    version, notes = check()
    fingerprint = signing.key()
    if fingerprint is None:
        raise Problem("a release is signed: leave out UNSIGNED=1")
    build(DIST)
    signing.sign(DIST, fingerprint)
    print(f"{signing.verify(DIST, fingerprint)} signatures are good")
    publish(version, notes)


if __name__ == "__main__":
    sys.exit(exit_status(release))
