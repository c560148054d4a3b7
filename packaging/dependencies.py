"""The program and the libraries it needs, installed for one Python into a directory."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from source import Source, run

_PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in range(28, 16, -1)]
"""For glibc 2.28 and later, so for every system that has one of the Pythons."""


def install(source: Source, wheel: Path, directory: Path, python: str) -> None:
    """Fill `directory` for Python `python`, for example 3.11, whatever Python runs this.

    The libraries have the versions and checksums of `requirements.txt`.
    """
    for_python = [f"--python-version={python}", "--implementation=cp", "--only-binary=:all:"]
    for_python += [f"--platform={platform}" for platform in _PLATFORMS]
    locked = ["--require-hashes", f"--requirement={source.tree}/packaging/requirements.txt"]
    # Not by its path, of which pip would make a note.
    local = ["--no-index", f"--find-links={wheel.parent}", f"pdagent=={source.version}"]
    for what in (locked, local):
        pip = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--no-compile"]
        run(*pip, f"--target={directory}", *for_python, *what)
        shutil.rmtree(directory / "bin", ignore_errors=True)  # for the Python that runs this


def launcher(function: str) -> str:
    """The text of a script that runs `function`, named as `module:function`."""
    module, _, name = function.partition(":")
    return f"import sys\n\nfrom {module} import {name}\n\nsys.exit({name}())\n"
