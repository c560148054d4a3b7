"""The .deb and .rpm packages, by nFPM: a virtual environment of the host's own Python.

One package for each Python, because the dependencies have compiled parts. The pages of the
manual and the completion scripts come from `manual.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dependencies import install, launcher
from source import Source, run

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
HOME = "/usr/lib/pagerduty-agent"
"""Where the environment lies on the host."""

_PROGRAMS = ("pagerduty-agent", "pdagent")
# Where zsh looks is not the same everywhere.
_ZSH = {"deb": "/usr/share/zsh/vendor-completions", "rpm": "/usr/share/zsh/site-functions"}


def build(source: Source, wheel: Path, work: Path, target: Path) -> Iterator[Path]:
    """Make all packages in `target`; `work` is an empty directory. Yields each package."""
    share = work / "share"
    manual = source.tree / "packaging/manual.py"
    run(sys.executable, manual, share, PYTHONPATH=str(source.tree))
    (work / "units").mkdir()
    for unit in (source.tree / "pdagent/installation").glob("*.service"):
        text = unit.read_text("utf-8").replace("/usr/local/bin/", "/usr/bin/")
        (work / "units" / unit.name).write_text(text, "utf-8")
    (work / "doc").mkdir()
    shutil.copy(source.tree / "LICENSE", work / "doc/copyright")
    shutil.copy(source.tree / "CHANGELOG.md", work / "doc")
    for python in PYTHONS:
        _environment(source, wheel, work / python, python)
        # nFPM keeps the times of files in trees.
        for path in (work, *work.rglob("*")):
            os.utime(path, (source.epoch, source.epoch), follow_symlinks=False)
        for kind in ("deb", "rpm"):
            settings = main_package(source, work, python, kind)
            yield _nfpm(settings, kind, source, work, target)
    for kind in ("deb", "rpm"):
        yield _nfpm(compat_package(source, kind), kind, source, work, target)


def main_package(source: Source, work: Path, python: str, kind: str) -> dict[str, Any]:
    """nFPM's description of the package for one Python; the files to pack are in `work`."""
    links = {f"/usr/bin/{name}": f"{HOME}/bin/{name}" for name in _PROGRAMS}
    links[f"{HOME}/bin/python3"] = f"/usr/bin/python{python}"
    trees = {work / python: HOME, work / "units": "/usr/lib/systemd/system"}
    trees[work / "doc"] = "/usr/share/doc/pagerduty-agent"
    trees |= {
        path: _ZSH[kind]
        if path.parent.name == "zsh"
        else f"/usr/share/{path.relative_to(work / 'share')}"
        for path in sorted((work / "share").glob("*/*"))
    }
    scripts = {
        "deb": {
            "postinstall": "deb/postinst",
            "preremove": "deb/prerm",
            "postremove": "deb/postrm",
        },
        "rpm": {"postinstall": "rpm/post", "preremove": "rpm/preun", "postremove": "rpm/postun"},
    }
    return {
        **_common(source, "pagerduty-agent", kind),
        "arch": "amd64",
        "release": f"1.py{python.replace('.', '')}",
        "depends": _depends(python, kind),
        "suggests": ["openssl"],
        "contents": [
            *({"src": str(tree), "dst": place, "type": "tree"} for tree, place in trees.items()),
            *({"src": to, "dst": link, "type": "symlink"} for link, to in links.items()),
        ],
        "scripts": {
            when: str(source.tree / "packaging/scripts" / name)
            for when, name in scripts[kind].items()
        },
    }


def compat_package(source: Source, kind: str) -> dict[str, Any]:
    """nFPM's description of the package with the names of the older Python agent's programs."""
    names = sorted(source.scripts.keys() - {*_PROGRAMS})
    return {
        **_common(source, "pagerduty-agent-compat", kind),
        "arch": "all",
        "release": "1",
        "depends": [
            f"pagerduty-agent (>= {source.version})"
            if kind == "deb"
            else f"pagerduty-agent >= {source.version}"
        ],
        "conflicts": ["pdagent"],
        "contents": [
            {"src": f"{HOME}/bin/{name}", "dst": f"/usr/bin/{name}", "type": "symlink"}
            for name in names
        ],
    }


def _common(source: Source, name: str, kind: str) -> dict[str, Any]:
    return {
        "name": name,
        "version": source.version,
        "maintainer": "The pagerduty-agent maintainers <pagerduty-agent@localhost>",
        "description": "takes events for PagerDuty, keeps them safe, delivers them in order",
        "license": "Apache-2.0",
        "homepage": "https://github.com/PagerDuty/go-pdagent",
        "section": "admin" if kind == "deb" else "Applications/System",
        "priority": "optional",
        "rpm": {"buildhost": "localhost"},
        "mtime": f"{datetime.fromtimestamp(source.epoch, UTC):%Y-%m-%dT%H:%M:%SZ}",
    }


def _depends(python: str, kind: str) -> list[str]:
    major, _, minor = python.partition(".")
    if kind == "deb":
        return [f"python3 (>= {python})", f"python3 (<< {major}.{int(minor) + 1})", "passwd"]
    return [f"/usr/bin/python{python}", f"python(abi) = {python}", "shadow-utils"]


def _environment(source: Source, wheel: Path, home: Path, python: str) -> None:
    install(source, wheel, home / f"lib/python{python}/site-packages", python)
    (home / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    (home / "bin").mkdir()
    for name, function in source.scripts.items():
        script = home / "bin" / name
        script.write_text(f"#!{HOME}/bin/python3 -I\n{launcher(function)}")
        script.chmod(0o755)


def _nfpm(settings: dict[str, Any], kind: str, source: Source, work: Path, target: Path) -> Path:
    config = work / "nfpm.json"  # JSON is YAML
    config.write_text(json.dumps(settings, indent=1))
    command = [str(Path(sys.executable).with_name("nfpm")), "package", "--config", str(config)]
    before = {*target.iterdir()}
    run(*command, "--packager", kind, "--target", target, SOURCE_DATE_EPOCH=str(source.epoch))
    [made] = {*target.iterdir()} - before
    return made
