"""Builds everything that a release consists of: `make build`, into dist/.

python packaging/artifacts.py [DIRECTORY]
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import folder
import packages
from source import REPOSITORY, Problem, Source, changes, exit_status, exported, run

DIST = REPOSITORY / "dist"
SUMS = "SHA256SUMS"


def build(target: Path) -> None:
    """Fill `target`, which is emptied first; prints the name and size of each file."""
    os.umask(0o022)
    for tool, package in (("mmdebstrap", "mmdebstrap"), ("objdump", "binutils")):
        if shutil.which(tool) is None:
            raise Problem(f"{tool} is missing: apt install {package}")
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(parents=True)
    if number := changes():
        print(f"Builds the last commit: {number} files with changes are left out")
    with exported() as source:
        for made in _artifacts(source, target):
            print(f"{made.name}  {made.stat().st_size / 1e6:.1f} MB", flush=True)
    write_sums(target)


def python_packages(source: Source, target: Path) -> Iterator[Path]:
    """The wheel, then the sdist."""
    for kind, pattern in (("wheel", "*.whl"), ("sdist", "*.tar.gz")):
        hatchling = (sys.executable, "-m", "hatchling", "build", "-t", kind)
        epoch = str(source.epoch)
        run(*hatchling, "-d", target, cwd=source.tree, SOURCE_DATE_EPOCH=epoch)
        [made] = target.glob(pattern)
        yield made


def write_sums(target: Path) -> None:
    """Write SHA256SUMS of what is in `target`, apart from signatures, as sha256sum -c reads it."""
    files = sorted(p for p in target.iterdir() if p.suffix != ".asc" and p.name != SUMS)
    lines = (f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)
    (target / SUMS).write_text("".join(lines))


def _artifacts(source: Source, target: Path) -> Iterator[Path]:
    wheel, sdist = python_packages(source, target)
    yield from (wheel, sdist)
    with tempfile.TemporaryDirectory(prefix="pdagent-build-") as work:
        places = [Path(work) / name for name in ("packages", "folder")]
        for place in places:
            place.mkdir()
        yield from packages.build(source, wheel, places[0], target)
        archive, debian = folder.build(source, wheel, places[1], target)
        yield archive
    yield _sbom(source, target, debian)


def _sbom(source: Source, target: Path, debian: dict[str, str]) -> Path:
    """The libraries of all packages with versions and checksums, as CycloneDX.

    The folder has `debian` as well: source packages and their versions.
    """
    path = target / f"pagerduty-agent-{source.version}.cdx.json"
    tool = Path(sys.executable).with_name("cyclonedx-py")
    options = ("--output-reproducible", "--pyproject", "pyproject.toml", "--mc-type", "application")
    locked = "packaging/requirements.txt"
    run(tool, "requirements", *options, "-o", path, locked, cwd=source.tree)
    bill = json.loads(path.read_text("utf-8"))
    bill["components"] += [
        {"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url}
        for name, version in sorted(debian.items())
        for url in [f"pkg:deb/debian/{name}@{quote(version)}?arch=source"]
    ]
    path.write_text(json.dumps(bill, indent=1) + "\n", "utf-8")
    return path


if __name__ == "__main__":
    sys.exit(exit_status(lambda: build(Path(sys.argv[1]) if sys.argv[1:] else DIST)))
