"""Runs `pd-send` and the others as their console scripts do."""

from __future__ import annotations

import sys

_RUN = "import sys; from pdagent.cli.integrations.old_names import {} as run; sys.exit(run())"


def command_of(program: str, *arguments: str | bytes) -> list[str | bytes]:
    """The command line of `pd-PROGRAM`."""
    return [sys.executable, "-c", _RUN.format(program), *arguments]
